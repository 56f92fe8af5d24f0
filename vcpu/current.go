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
	filled  int     // bytes of the area that the kernel fills in
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
	f := probe()
	i := &index{max: max(possibleCPUs(), 1), filled: f.Size}
	switch f.Mode {
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

// Where returns the arena id and the NUMA node of the running thread, -1 for a node
// that is not known. In the modes of rseq both are of the same moment, which is over
// when the caller looks at them.
func Where() (id, node int) {
	f := probe()
	if !f.Has(rseq.EndNodeID) || f.Mode == Assigned {
		return whereSlow()
	}
	var number, on uint32
	for range readTries {
		if f.Mode == MMCID {
			on, number = rseq.FieldPair(rseq.OffsetNodeID) // mm_cid is right behind it
		} else {
			// A CPU stays on its node, so what was read while it was the same one fits it.
			number, on = rseq.Field(rseq.OffsetCPUID), rseq.Field(rseq.OffsetNodeID)
			if number != rseq.Field(rseq.OffsetCPUID) {
				continue
			}
		}
		if number < uint32(Max()) && on != rseq.NoID {
			return int(number), int(on)
		}
		if !rseq.EnsureThread() {
			break
		}
	}
	return Current(), Node()
}

// whereSlow is Where where the area does not tell the node.
func whereSlow() (id, node int) {
	if f := probe(); f.Mode == CPUID {
		// One call tells both.
		if cpu, node := systemPlace(); cpu >= 0 && cpu < Max() {
			return cpu, node
		}
	}
	return Current(), Node()
}
