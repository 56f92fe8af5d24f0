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

// A field that the kernel has and this library does not know: the check of its end, and
// the read.
func ExampleRead() {
	future := vcpu.Field{Offset: 40, Size: 4}
	if vcpu.Probe().Has(future.End()) {
		value, ok := vcpu.Read(future)
		fmt.Println(value, ok)
	}
	if vcpu.Probe().Has(vcpu.FieldMMCID.End()) {
		id, ok := vcpu.Read(vcpu.FieldMMCID)
		fmt.Println(id < uint64(vcpu.Max()), ok)
	}
}
