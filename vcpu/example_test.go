package vcpu_test

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Bytes that many goroutines add up, each on the share of its vCPU.
func ExampleSharded() {
	var sent vcpu.Sharded[atomic.Int64]
	var goroutines sync.WaitGroup
	for range 16 {
		goroutines.Go(func() {
			for range 1000 {
				sent.Get().Add(1500)
			}
		})
	}
	goroutines.Wait()
	total := int64(0)
	for _, share := range sent.All() {
		total += share.Load()
	}
	fmt.Println(total)
	// Output: 24000000
}

// What the running kernel and libc offer, for a start-up message.
func ExampleProbe() {
	f := vcpu.Probe()
	why := ""
	if f.Mode != vcpu.MMCID {
		why = f.Reason
	}
	fmt.Println(f.Mode == vcpu.MMCID || why != "", vcpu.Current() < vcpu.Max())
	// Output: true true
}
