package rseqcs

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
)

// assigned is the operations in plain Go, on the slabs of the Ps: for
// architectures without assembly, and for Go releases in which it cannot find
// the P. A goroutine that is pinned has its P's slab for itself
// (docs/decisions/assigned-tier.md).
//
// All of them run pinned from the first look at the slab to the last store, so
// nothing here may panic, block or allocate.
var assigned = operations{
	pop:       popAssigned,
	push:      pushAssigned,
	popBatch:  popBatchAssigned,
	pushBatch: pushBatchAssigned,
	setHeader: setHeaderAssigned,
	add:       addAssigned,

	alloc:       allocInParts,
	allocZeroed: allocZeroedInParts,
	free:        freeInParts,
	get:         getInParts,
	put:         putInParts,
}

// header is the header of one class in one slab. current is the commit word;
// only the slab's vCPU or P writes it. end is written by any thread, always to a
// place inside the class's slots. Both are zero until set, and again when Shut
// releases the memory. A thread that does not own the slab reads both with load, or
// one of them atomically; the owner stores current without an atomic instruction,
// since a word is never torn and its readers need no order.
//
//	slots in use = (current - begin of the class) / slotSize
type header struct {
	current, end uint32
}

// word is the header as one 64-bit word: its address is a multiple of 8.
func (h *header) word() *uint64 { return (*uint64)(unsafe.Pointer(h)) }

// load returns both halves as they were at one moment.
func (h *header) load() header {
	word := atomic.LoadUint64(h.word())
	return *(*header)(unsafe.Pointer(&word))
}

// set stores both halves at once, and is a release.
func (h *header) set(to header) {
	atomic.StoreUint64(h.word(), *(*uint64)(unsafe.Pointer(&to)))
}

// pinnedSlab pins the goroutine and returns its P's slab, or nil for a P that
// has none. The caller unpins in both cases.
func pinnedSlab(base unsafe.Pointer) unsafe.Pointer {
	p := procpin.Pin()
	if p >= int(atomic.LoadUint32(rowCount(base))) { // before any load from the slab
		return nil
	}
	return slabAt(base, p)
}

// rowCount returns the control word of a row: how many ids it has slabs or cells for.
func rowCount(base unsafe.Pointer) *uint32 {
	return (*uint32)(unsafe.Add(base, controlCount))
}

func slabAt(base unsafe.Pointer, index int) unsafe.Pointer {
	return unsafe.Add(base, index<<slabShift)
}

func headerAt(slab unsafe.Pointer, class uintptr) *header {
	return (*header)(unsafe.Add(slab, class*headerSize))
}

func countdownAt(slab unsafe.Pointer) *uint64 {
	return (*uint64)(unsafe.Add(slab, offsetCountdown))
}

func slotAt(slab unsafe.Pointer, offset uint32) *unsafe.Pointer {
	return (*unsafe.Pointer)(unsafe.Add(slab, int(offset)))
}

// newest returns the slot below current.
func newest(slab unsafe.Pointer, current uint32) *unsafe.Pointer {
	return (*unsafe.Pointer)(unsafe.Add(slab, int(current)-slotSize))
}

// element returns a place in an array of the caller.
func element(array unsafe.Pointer, index uintptr) *unsafe.Pointer {
	return (*unsafe.Pointer)(unsafe.Add(array, index*unsafe.Sizeof(array)))
}

func popAssigned(base unsafe.Pointer, class, carried uintptr) (object unsafe.Pointer, _, _ uintptr) {
	if slab := pinnedSlab(base); slab != nil {
		h := headerAt(slab, class)
		current := h.current
		if object = *newest(slab, current); object != nil {
			h.current = current - slotSize
		}
	}
	procpin.Unpin()
	return object, class, carried
}

func pushAssigned(base unsafe.Pointer, class uintptr, object, carried unsafe.Pointer) (outcome, _ uintptr, _, _ unsafe.Pointer) {
	outcome = unserved
	if slab := pinnedSlab(base); slab != nil {
		h := headerAt(slab, class)
		current := h.current
		switch {
		case current == 0:
		case current >= atomic.LoadUint32(&h.end):
			outcome = full
		case *newest(slab, current) == object:
			outcome = duplicate
		default:
			*slotAt(slab, current) = object
			h.current = current + slotSize
			outcome = pushed
		}
	}
	procpin.Unpin()
	return outcome, class, object, carried
}

func popBatchAssigned(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) (n uintptr) {
	count = uintptr(uint32(count)) // the upper half is for the sections
	if slab := pinnedSlab(base); slab != nil {
		h := headerAt(slab, class)
		current := h.current
		for ; n < count; n++ {
			object := *newest(slab, current)
			if object == nil {
				break
			}
			*element(into, n) = object
			current -= slotSize
		}
		h.current = current
	}
	procpin.Unpin()
	return n
}

func pushBatchAssigned(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr {
	n := uintptr(unserved)
	if slab := pinnedSlab(base); slab != nil {
		h := headerAt(slab, class)
		if current, end := h.current, atomic.LoadUint32(&h.end); current != 0 {
			for n = 0; n < count && current < end; n++ {
				*slotAt(slab, current) = *element(from, n)
				current += slotSize
			}
			h.current = current
		}
	}
	procpin.Unpin()
	return n
}

func setHeaderAssigned(base unsafe.Pointer, class uintptr, _ unsafe.Pointer, value uint64) uintptr {
	result := uintptr(kept)
	if slab := pinnedSlab(base); slab != nil {
		h := headerAt(slab, class)
		if h.current == 0 {
			h.set(header{current: uint32(value), end: uint32(value >> 32)})
			result = stored
		}
	}
	procpin.Unpin()
	return result
}

// addAssigned stores without an atomic instruction where a word holds the sum: the
// P's goroutine alone writes the cell, and Value, which reads it at the same time,
// may find it late. A word is never torn. The cells are Go memory, so the race
// detector must not look.
//
//go:norace
func addAssigned(cells unsafe.Pointer, delta int64) uintptr {
	result := uintptr(kept)
	if p := procpin.Pin(); p < int(*rowCount(cells)) {
		if sum := (*int64)(unsafe.Add(cells, p<<cellShift)); bits.UintSize == 64 {
			*sum += delta
		} else {
			atomic.AddInt64(sum, delta)
		}
		result = stored
	}
	procpin.Unpin()
	return result
}
