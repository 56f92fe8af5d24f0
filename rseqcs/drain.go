package rseqcs

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Drain empties the slabs of all vCPUs and hands their objects to give, class by
// class. It takes one fence, about 20 us, and what the callers that run
// meanwhile lose by their slow paths. One call at a time. The slabs of the Ps
// are left alone: there is no fence for those. The error says why there is none
// at all.
//
// The protocol: with the number of ids at zero no section that starts takes
// effect, since each compares its id with this number behind START. The fence
// aborts those that have compared already. From then on the slabs are the
// caller's, until the number is back.
func (s *Stack) Drain(give func(class int, objects []unsafe.Pointer)) error {
	if !sections {
		return fmt.Errorf("rseqcs: drain: there are no sections in this mode")
	}
	count := rowCount(s.vcpus)
	atomic.StoreUint32(count, 0)
	defer atomic.StoreUint32(count, uint32(s.vcpuSlabs))
	if err := Fence(); err != nil {
		return err
	}
	for index := range s.vcpuSlabs {
		slab := s.slab(index)
		for class, c := range s.classes {
			h := headerAt(slab, uintptr(class))
			if h.current > c.begin {
				first := slotAt(slab, c.begin)
				give(class, unsafe.Slice(first, (h.current-c.begin)/slotSize))
				atomic.StoreUint32(&h.current, c.begin)
			}
		}
	}
	return nil
}
