package rseqcs

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"
)

// contents returns the objects of a class in all slabs. Nobody may use the stack.
func (s *Stack) contents(class int) (objects []unsafe.Pointer) {
	total, _ := s.Slabs()
	for slab := range total {
		for i := range s.Len(slab, class) {
			objects = append(objects, *slotAt(s.slab(slab), s.classes[class].begin+uint32(i*slotSize)))
		}
	}
	return objects
}

// isSetUp reports whether the header of the class in a slab has been written.
func (s *Stack) isSetUp(slab, class int) bool {
	return headerAt(s.slab(slab), uintptr(class)).current != 0
}

// checkInvariants checks what the comments of classSlots and limits.go say.
// Nobody may use the stack.
func (s *Stack) checkInvariants() error {
	total, _ := s.Slabs()
	for slab := range total {
		at := s.slab(slab)
		if last := *newest(at, 0); last != nil {
			return fmt.Errorf("slab %d: the word below it holds %p", slab, last)
		}
		for class, c := range s.classes {
			h := headerAt(at, uintptr(class))
			switch {
			case h.current == 0 && h.end == 0:
				continue
			case *newest(at, c.begin) != nil:
				return fmt.Errorf("slab %d, class %d: the end mark is overwritten", slab, class)
			case h.current < c.begin || h.current > c.last || h.end < c.begin || h.end > c.last || h.current%slotSize != 0:
				return fmt.Errorf("slab %d, class %d: current %d, end %d, not in [%d, %d]", slab, class, h.current, h.end, c.begin, c.last)
			}
			for i := range s.Len(slab, class) {
				if *slotAt(at, c.begin+uint32(i*slotSize)) == nil {
					return fmt.Errorf("slab %d, class %d: nil in slot %d", slab, class, i)
				}
			}
		}
	}
	return nil
}

// onOneVCPU runs body on one thread and reports whether its slab was the same
// before and after; body looks in between.
func onOneVCPU(t *testing.T, body func()) bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer pinToOneCPU(t)()
	s := &Stack{vcpuSlabs: 1 << 20, pSlabs: 1 << 20}
	if s.Here() >= s.vcpuSlabs {
		// The slabs are those of the Ps. Within one operation a thread can lose its P
		// and get it back, which body would not see: there must be no other.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	before := s.Here()
	body()
	return s.Here() == before
}
