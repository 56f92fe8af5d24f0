package vcpu

import (
	"runtime"
	"sync"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// Current returns the arena id of the running thread, in [0, Max()). It is a
// hint: the thread may have another one before the caller looks at it. It never
// fails and may be called from any goroutine.
func Current() int {
	if offset, ok := idField(); ok {
		if id := rseq.Field(offset); int(id) < Max() {
			return int(id)
		}
		if rseq.EnsureThread() {
			if id := rseq.Field(offset); int(id) < Max() {
				return int(id)
			}
		}
	}
	p := procpin.Pin()
	procpin.Unpin()
	return p % Max()
}

// idField returns the offset of the field that indexes, if one does.
func idField() (offset uintptr, ok bool) {
	switch probe().Mode {
	case MMCID:
		return rseq.OffsetMMCID, true
	case CPUID:
		return rseq.OffsetCPUID, true
	}
	return 0, false
}

// Max returns the number of arena ids: every id is in [0, Max()). It does not
// change while the process lives. In the modes of rseq it is the number of
// possible CPUs, present or not, since ids can be sparse and CPUs can come
// later; in Assigned mode it is GOMAXPROCS at the first call if that is more.
func Max() int { return maxID() }

var maxID = sync.OnceValue(func() int {
	count := max(possibleCPUs(), 1)
	if probe().Mode == Assigned {
		count = max(count, runtime.GOMAXPROCS(0))
	}
	return count
})

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
