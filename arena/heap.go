package arena

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// Heap is one range of addresses with everything that hands out its memory. All
// methods but Close may be called from any goroutine.
type Heap struct {
	// Blocks is the fast path of package alloc, on the objects in Magazines. It
	// comes first, to begin a cache line.
	Blocks rseqcs.Blocks

	// Magazines holds the free objects of this and every other vCPU.
	Magazines rseqcs.Stack

	base    unsafe.Pointer // of the range
	size    uintptr        // bytes of it that are in the page map
	pageMap pageMap

	pageMapMemory osmem.Range
	spans         spanTable
	pages         pageHeap
	large         largeStats
	gone          goneStats
	capacity      capacity
	upkeep        upkeep
	draining      sync.Mutex // reclaim, one at a time
	transfer      [classCount]transfer
	central       [classCount]central
}

// Open makes h, which must be zero, an empty heap. name appears in
// /proc/self/maps. It reserves the given number of bytes of address space, or
// half as often as the system refuses, and charges what it backs of that to the
// budget. slow serves what Blocks cannot.
func (h *Heap) Open(name string, reserve int64, budget *Budget, slow rseqcs.Slow) error {
	if reserve < MinReserve || reserve > MaxReserve {
		return fmt.Errorf("arena: a reservation of %d bytes: not in [%d, %d]", reserve, MinReserve, int64(MaxReserve))
	}
	var err error
	for size := uintptr(reserve) &^ (MinReserve - 1); ; size = size / 2 &^ (MinReserve - 1) {
		if err = h.reserve(name, size); err == nil {
			break
		}
		if size < 2*MinReserve {
			return fmt.Errorf("arena: %w: %w", ErrNoMemory, err)
		}
	}
	limit := budget.Limit()
	stack, err := rseqcs.NewStack(name, magazines(limit))
	if err != nil {
		return fmt.Errorf("arena: %w: %w", ErrNoMemory, errors.Join(err, h.unmap()))
	}
	h.Magazines = *stack
	h.capacity.open(stack, limit)
	h.Blocks.Open(stack, &classTable, h.base, h.size, h.pageMap.entries, slow)
	h.pages.spans = &h.spans
	h.pages.arrived.L = &h.pages.mu
	h.pages.top = firstPage
	h.pages.budget = budget
	if limit > 0 {
		h.pages.memory.NoHugePages() // else memory is taken that no count knows of
	}
	budget.open(h)
	return nil
}

// reserve makes the range and its tables, or nothing.
func (h *Heap) reserve(name string, size uintptr) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.unmap())
		}
	}()
	pages := size >> pageShift
	if h.pages.memory, err = osmem.Reserve(size, name+" heap"); err != nil {
		return err
	}
	if h.pageMapMemory, err = osmem.Reserve(roundUp(pages*4), name+" page map"); err != nil {
		return err
	}
	if h.spans.records, err = osmem.Reserve(roundUp(pages*unsafe.Sizeof(span{})), name+" spans"); err != nil {
		return err
	}
	if h.spans.bitmaps, err = osmem.Reserve(roundUp(pages*bitmapBytes), name+" bitmaps"); err != nil {
		return err
	}
	if h.spans.gone, err = osmem.Reserve(roundUp(pages), name+" gone"); err != nil {
		return err
	}
	// Free looks into the page map for any address of the range.
	if err = h.pageMapMemory.Back(h.pageMapMemory.Size); err != nil {
		return err
	}
	if err = h.spans.back(firstPage + 1); err != nil {
		return err
	}
	h.base, h.size = h.pages.memory.Base, size
	h.pageMap.entries = (*rseqcs.PageEntry)(h.pageMapMemory.Base)
	return nil
}

func roundUp(size uintptr) uintptr { return (size + osmem.Granule - 1) &^ (osmem.Granule - 1) }

// unmap gives all ranges back.
func (h *Heap) unmap() error {
	return errors.Join(h.pages.memory.Unmap(), h.pageMapMemory.Unmap(), h.spans.records.Unmap(), h.spans.bitmaps.Unmap(), h.spans.gone.Unmap())
}

// Close gives all memory of the heap back to the system, blocks in use too. No
// other method may run meanwhile. Later calls of Blocks are slow ones, and no address
// belongs to the heap. After an error it may be called again, for what is left.
func (h *Heap) Close() error {
	// First those who work on h unasked.
	h.upkeep.end()
	h.pages.budget.close()
	h.Blocks.Close()
	h.size = 0
	if err := errors.Join(h.Magazines.Close(), h.unmap()); err != nil {
		return fmt.Errorf("arena: %w", err)
	}
	return nil
}

// addressOf returns the address of a page.
func (h *Heap) addressOf(page uint32) unsafe.Pointer {
	return unsafe.Add(h.base, uintptr(page)<<pageShift)
}

// offsetOf returns how far an address lies in the range; for an address outside
// it is at least h.size.
func (h *Heap) offsetOf(address unsafe.Pointer) uintptr { return h.Blocks.OffsetOf(address) }

// ClassAt returns the class of the object that starts at address, or 0 where no
// object of a class can start.
func (h *Heap) ClassAt(address unsafe.Pointer) uint8 { return h.Blocks.ClassAt(address) }
