package rseqcs

import (
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// TestSectionsPointAtTheirID looks into which slab sections go while the thread's two
// ids differ: that of the mode. A kernel that gives all threads the ids of their CPUs
// shows nothing.
func TestSectionsPointAtTheirID(t *testing.T) {
	needSections(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	differed := 0
	for until := time.Now().Add(300 * time.Millisecond); differed < 100 && time.Now().Before(until); {
		for cpu := range vcpu.Max() {
			if all.IsSet(cpu) {
				differed += lookAtIDs(t, cpu)
			}
		}
		threads(4) // which take ids, and leave others
	}
	t.Logf("the ids differed %d times", differed)
}

// lookAtIDs pushes an object on a CPU some times, and returns how often the thread had
// two ids.
func lookAtIDs(t *testing.T, cpu int) (differed int) {
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	ids := func() [2]uint32 { return [2]uint32{rseq.Field(rseq.OffsetCPUID), rseq.Field(rseq.OffsetMMCID)} }
	for range 100 {
		stack, err := NewStack("ids", []Capacity{{1, 1}})
		if err != nil {
			t.Fatal(err)
		}
		before, want := ids(), vcpu.Current()
		stack.Push(0, unsafe.Pointer(new(token)))
		got := 0
		for got < stack.vcpuSlabs && stack.Len(got, 0) == 0 {
			got++
		}
		stack.Close()
		if before[0] == before[1] || ids() != before {
			continue
		}
		differed++
		if got != want {
			t.Fatalf("on CPU %d with mm_cid %d the object lies in slab %d, want %d", before[0], before[1], got, want)
		}
	}
	return differed
}

// threads lets some threads run at the same time, and end.
func threads(count int) {
	var all sync.WaitGroup
	for range count {
		all.Go(func() {
			runtime.LockOSThread() // and so the thread ends
			for until := time.Now().Add(2 * time.Millisecond); time.Now().Before(until); {
			}
		})
	}
	all.Wait()
}

// needSections ends the test where no section runs.
func needSections(t *testing.T) {
	t.Helper()
	if prepare(); !sections {
		t.Skipf("no sections run here: %s", vcpu.Probe().Reason)
	}
}
