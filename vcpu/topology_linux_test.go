package vcpu

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// TestNodeOfEachCPU pins a thread to each CPU in turn, so that it stays on one node.
func TestNodeOfEachCPU(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the pinned thread ends
		Probe()
		rseq.EnsureThread()
		var may, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &may); err != nil {
			t.Error(err)
			return
		}
		for cpu := range len(may) * 64 {
			if !may.IsSet(cpu) {
				continue
			}
			one.Zero()
			one.Set(cpu)
			if err := unix.SchedSetaffinity(0, &one); err != nil {
				t.Error(err)
				return
			}
			if node := Node(); node != systemNode() {
				t.Errorf("CPU %d: node %d, the kernel says %d", cpu, node, systemNode())
			}
		}
	}()
	<-done
}

func TestParseCPUList(t *testing.T) {
	for _, row := range []struct {
		list  string
		count int
		ok    bool
	}{
		{"0\n", 1, true},
		{"0-1\n", 2, true},
		{"0-3,8-11\n", 12, true},
		{"8-11,0-3", 12, true},
		{"0,2,4", 5, true},
		{"3", 4, true},
		{"0-1023", 1024, true},
		{"", 0, false},
		{"\n", 0, false},
		{"0-", 0, false},
		{"0-3,", 0, false},
		{"a-b", 0, false},
		{"0-3 8", 0, false},
		{"0--1", 0, false},
		{"0-3,0--1", 0, false},
	} {
		if count, ok := parseCPUList(row.list); count != row.count || ok != row.ok {
			t.Errorf("%q: %d, %v; want %d, %v", row.list, count, ok, row.count, row.ok)
		}
	}
}
