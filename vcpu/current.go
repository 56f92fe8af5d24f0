package vcpu

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// index is how this process finds the id of a thread, in one piece so that
// Current loads it once.
type index struct {
	max     int
	byField bool    // the id is a field of the thread's area
	field   uintptr // its offset
}

var foundIndex atomic.Pointer[index]

// indexHere returns the index, and makes it on the first call.
func indexHere() *index {
	if i := foundIndex.Load(); i != nil {
		return i
	}
	return makeIndex()
}

var makeIndex = sync.OnceValue(func() *index {
	i := &index{max: max(possibleCPUs(), 1)}
	switch probe().Mode {
	case MMCID:
		i.byField, i.field = true, rseq.OffsetMMCID
	case CPUID:
		i.byField, i.field = true, rseq.OffsetCPUID
	default:
		i.max = max(i.max, runtime.GOMAXPROCS(0))
	}
	foundIndex.Store(i)
	return i
})

// Current returns the arena id of the running thread, in [0, Max()). It is a
// hint: the thread may have another one before the caller looks at it. It never
// fails and may be called from any goroutine.
func Current() int {
	i := indexHere()
	if i.byField {
		id := rseq.Field(i.field)
		if id >= uint32(i.max) && rseq.EnsureThread() {
			id = rseq.Field(i.field)
		}
		if id < uint32(i.max) {
			return int(id)
		}
	}
	p := procpin.Pin()
	procpin.Unpin()
	return p % i.max
}

// Max returns the number of arena ids: every id is in [0, Max()). It does not
// change while the process lives. In the modes of rseq it is the number of
// possible CPUs, present or not, since ids can be sparse and CPUs can come
// later; in Assigned mode it is GOMAXPROCS at the first call if that is more.
func Max() int { return indexHere().max }

// Node returns the NUMA node of the running thread, or -1 where it is not
// known. It is a hint, as Current is.
func Node() int {
	if probe().Has(rseq.EndNodeID) {
		if node := rseq.Field(rseq.OffsetNodeID); node != rseq.NoID {
			return int(node)
		}
	}
	return systemNode()
}
