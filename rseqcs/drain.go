package rseqcs

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// drainBatch is how many objects Drain hands over at once, at the most.
const drainBatch = 64

// Drain empties the slabs of all vCPUs and all Ps and hands their objects to
// give, in batches of one class. It costs one fence, or one stop of the world,
// and what the callers that run meanwhile lose by their slow paths: they find
// nothing and have no room. Other methods may run at the same time, but not
// Drain, Shut and Close. After Shut a Stack stays shut.
//
// The objects of a call of give are handed over, whether it returns or panics. When
// it panics, the others stay in the slabs, and the Stack works as before Drain. A nil
// give panics before anything is stopped, and so does a Stack that NewStack did not
// return; both are true of Shut, Empty and Idle.Drain too.
func (s *Stack) Drain(give func(class int, objects []unsafe.Pointer)) {
	s.checkDrain(give)
	s.stop()
	defer s.resume()
	s.empty(give)
}

// Shut is Drain for good: from then on Pop finds nothing and Push Full. The
// slabs' memory goes back to the system, but their addresses stay until Close,
// so that callers which are about to push or pop need not be waited for. When give
// panics, the Stack is shut all the same; another call of Shut hands over the objects
// that are left and releases the memory.
func (s *Stack) Shut(give func(class int, objects []unsafe.Pointer)) {
	s.checkDrain(give)
	s.isShut = true
	s.stop()
	s.empty(give)
	// If the system refuses, the memory comes back with Close.
	s.memory.Release(0, s.memory.Size)
}

// Empty is Drain for a caller who knows that no other method runs, or will run, but
// Close: it needs no fence.
func (s *Stack) Empty(give func(class int, objects []unsafe.Pointer)) {
	s.checkDrain(give)
	s.empty(give)
}

// checkDrain panics where a drain would end with slabs that stay stopped, or with a
// fault that cannot be recovered from.
func (s *Stack) checkDrain(give func(class int, objects []unsafe.Pointer)) {
	if s.base == nil {
		panic("rseqcs: drain of a Stack that NewStack did not return")
	}
	if give == nil {
		panic("rseqcs: drain with a nil function")
	}
}

// stop makes the slabs the caller's. With the number of ids at zero no section
// that starts takes effect, since each compares its id with this number behind
// START. Those that have compared already are aborted by the fence; or, where
// there is none, and on the slabs of the Ps, all goroutines are stopped once: Go
// stops none in assembly or pinned to its P, so none is inside of a section then.
func (s *Stack) stop() {
	atomic.StoreUint32(rowCount(s.vcpus), 0)
	atomic.StoreUint32(rowCount(s.ps), 0)
	fenced := sections && Fence() == nil
	// A thread counts its operation on the slabs of the Ps before it looks at their
	// number, so the fence, which is a barrier on its CPU too, lies before or behind
	// both. It counts the operation out after its last store.
	if !fenced || atomic.LoadInt32(&s.onPs) > 0 {
		stopTheWorld()
	}
}

// resume gives the slabs back to their vCPUs and Ps, unless the Stack is shut.
func (s *Stack) resume() {
	if s.isShut {
		return
	}
	atomic.StoreUint32(rowCount(s.vcpus), uint32(s.vcpuSlabs))
	atomic.StoreUint32(rowCount(s.ps), uint32(s.pSlabs))
}

// stopTheWorld stops all goroutines for an instant. ReadMemStats does so in all
// releases of Go so far; TestShutConserves fails if one does not. Tests replace it.
var stopTheWorld = func() { runtime.ReadMemStats(new(runtime.MemStats)) }

// empty hands over all objects of slabs that are stopped.
func (s *Stack) empty(give func(class int, objects []unsafe.Pointer)) {
	var batch [drainBatch]unsafe.Pointer
	for index := range s.vcpuSlabs + s.pSlabs {
		slab := s.slab(index)
		for class, c := range s.classes {
			h := headerAt(slab, uintptr(class))
			for h.current > c.begin {
				n := 0
				for ; n < drainBatch && h.current > c.begin; n++ {
					batch[n] = *newest(slab, h.current)
					atomic.StoreUint32(&h.current, h.current-slotSize)
				}
				takeAll(batch[:n])
				give(class, batch[:n])
			}
		}
	}
}
