package rseqcs

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Shut empties the slabs of all vCPUs and all Ps for good, and hands each of
// their objects to give. From then on Pop finds nothing and Push Full. The slabs' memory goes back to the system,
// but their addresses stay until Close, so that callers which are about to push
// or pop need not be waited for.
//
// Other methods may run at the same time, but not Drain, Shut and Close.
//
// The protocol: with the number of ids at zero no section that starts takes
// effect, since each compares its id with this number. Stopping all goroutines
// once then makes sure that nobody is inside of one that began before: Go stops
// no goroutine in assembly or pinned to its P. That holds in every mode, with
// or without the kernel's fence.
func (s *Stack) Shut(give func(class int, object unsafe.Pointer)) {
	atomic.StoreUint32(rowCount(s.vcpus), 0)
	atomic.StoreUint32(rowCount(s.ps), 0)
	// ReadMemStats stops the world, in all releases of Go so far; TestShutConserves fails
	// if one does not.
	runtime.ReadMemStats(new(runtime.MemStats))
	for index := range s.vcpuSlabs + s.pSlabs {
		slab := s.slab(index)
		for class, c := range s.classes {
			current := headerAt(slab, uintptr(class)).current
			for slot := c.begin; slot < current; slot += slotSize {
				give(class, *slotAt(slab, slot))
			}
		}
	}
	// If the system refuses, the memory comes back with Close.
	s.memory.Release(0, s.memory.Size)
}
