package rseqcs

import (
	"sync/atomic"
	"unsafe"
)

// Idle finds the magazines of a Stack that nobody uses, by looking now and then
// whether they have changed. Its methods must not run at the same time as each
// other; those of the Stack may, but for Drain, Shut and Close.
type Idle struct {
	// Lowered, if it is set, is called by Drain for each capacity that it takes back, with
	// the number of objects. The slabs are stopped then: it must not allocate or wait.
	Lowered func(slab, class, count int)

	stack *Stack
	slabs []idleSlab // by their index
}

// idleSlab is what was seen of a slab; nil slices for one that was never used.
type idleSlab struct {
	current []uint32 // of each class at the last look
	still   []uint32 // looks since it has changed
}

// NewIdle returns an Idle that has not looked yet.
func (s *Stack) NewIdle() *Idle {
	total, _ := s.Slabs()
	return &Idle{stack: s, slabs: make([]idleSlab, total)}
}

// Look looks at all magazines. It returns the number of objects in those that have
// been the same for the given number of looks before this one. It stops nobody.
func (i *Idle) Look(looks int) (objects int) {
	s := i.stack
	for index := range i.slabs {
		seen, slab := &i.slabs[index], s.slab(index)
		for class := range s.classes {
			current := atomic.LoadUint32(&headerAt(slab, uintptr(class)).current)
			if current == 0 {
				continue // not set up
			}
			if seen.current == nil {
				seen.current, seen.still = make([]uint32, len(s.classes)), make([]uint32, len(s.classes))
			}
			if current != seen.current[class] {
				seen.current[class], seen.still[class] = current, 0
			} else if int(seen.still[class]) < looks {
				seen.still[class]++
			}
			if int(seen.still[class]) >= looks {
				objects += int(current-s.classes[class].begin) / slotSize
			}
		}
	}
	return objects
}

// room returns an empty slice for each class with room for all objects of magazines that
// were idle in the last look: while the slabs are stopped, nothing allocates.
func (i *Idle) room(looks int) [][]unsafe.Pointer {
	counts := make([]int, len(i.stack.classes))
	for _, seen := range i.slabs {
		for class, current := range seen.current {
			if current != 0 && int(seen.still[class]) >= looks {
				counts[class] += int(current-i.stack.classes[class].begin) / slotSize
			}
		}
	}
	room := make([][]unsafe.Pointer, len(counts))
	for class, count := range counts {
		room[class] = make([]unsafe.Pointer, 0, count)
	}
	return room
}

// Drain empties the magazines that were idle in the last look and have not
// changed since, and takes their capacity back to the initial one. It hands the
// objects to give by class, when everybody may work again. It costs one fence, or
// one stop of the world, as Stack.Drain does. A panic of give goes on when give has
// had the objects of all classes, so that none is lost.
func (i *Idle) Drain(looks int, give func(class int, objects []unsafe.Pointer)) {
	s := i.stack
	s.checkDrain(give)
	taken := i.room(looks)
	s.stop()
	for index := range i.slabs {
		seen, slab := &i.slabs[index], s.slab(index)
		for class := range seen.current {
			c, h := &s.classes[class], headerAt(slab, uintptr(class))
			if h.current == 0 || int(seen.still[class]) < looks || h.current != seen.current[class] {
				continue
			}
			for ; h.current > c.begin; atomic.StoreUint32(&h.current, h.current-slotSize) {
				taken[class] = append(taken[class], *newest(slab, h.current))
			}
			if before := atomic.SwapUint32(&h.end, c.first); before > c.first && i.Lowered != nil {
				i.Lowered(index, class, int(before-c.first)/slotSize)
			}
			seen.current[class] = h.current
		}
	}
	s.resume()
	for class, objects := range taken {
		if len(objects) > 0 {
			takeAll(objects)
			defer give(class, objects) // each runs, whatever another does
		}
	}
}
