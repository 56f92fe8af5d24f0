package arena

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

	memory        osmem.Range // the range; the nodes have parts of it
	pageMapMemory osmem.Range
	spans         spanTable
	budget        *Budget
	nodes         []*node // at least one
	part          uint32  // pages of each but the last
	large         largeStats
	doubleFrees   atomic.Int64 // objects that came back to spans and were free there
	capacity      capacity
	upkeep        upkeep
	draining      sync.Mutex // reclaim, one at a time
	retained      int64      // free pages that stay when a large block is freed; -1: by what is used
	rescue        rescue
	explanations  explanations

	machine         *machine
	homes           homes
	placement       string // what has become of the Placement
	placementReason string // why it is not what was asked for, or empty
	huge            HugePages
	hugeReason      string // likewise
}

// Config is how a heap is to be.
type Config struct {
	Name      string      // appears in /proc/self/maps
	Reserve   int64       // address space in bytes, MinReserve to MaxReserve
	Budget    *Budget     // is charged with what the heap backs
	Placement Placement   // on which NUMA nodes it is to lie
	Huge      HugePages   // what it does about huge pages
	Slow      rseqcs.Slow // serves what Blocks cannot

	machine *machine // of a test; nil for the real one
}

// Open makes h, which must be zero, an empty heap. It reserves as much address space
// as c says, or half of it as often as the system refuses.
func (h *Heap) Open(c Config) error {
	if c.Reserve < MinReserve || c.Reserve > MaxReserve {
		return fmt.Errorf("arena: a reservation of %d bytes: not in [%d, %d]", c.Reserve, MinReserve, int64(MaxReserve))
	}
	if c.machine == nil {
		c.machine = thisMachine()
	}
	h.budget = c.Budget
	limit := h.budget.Limit()
	// First what is always of the same size; the range takes what is left.
	stack, err := rseqcs.NewStack(c.Name, magazines(limit))
	if err != nil {
		return fmt.Errorf("arena: %w: %w", ErrNoMemory, err)
	}
	for size := uintptr(c.Reserve) &^ (MinReserve - 1); ; size = size / 2 &^ (MinReserve - 1) {
		if err = h.reserve(&c, size); err == nil {
			break
		}
		if size < 2*MinReserve {
			return fmt.Errorf("arena: %w: %w", ErrNoMemory, errors.Join(err, stack.Close()))
		}
	}
	h.Magazines = *stack
	h.capacity.open(stack, limit)
	h.Blocks.Open(stack, &classTable, rseqcs.Range{Origin: h.base, Size: h.size, Entries: h.pageMap.entries, Checks: h.pageMap.checks}, c.Slow)
	h.chooseHuge(c.Huge, limit)
	h.retained = noBound
	h.budget.open(h)
	return nil
}

// reserve makes the range and its tables, or nothing.
func (h *Heap) reserve(c *Config, size uintptr) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(osmem.Explain(err), h.unmap()) // explained while it is as it was
			h.nodes = nil
		}
	}()
	pages, name := size>>pageShift, c.Name
	if h.memory, err = osmem.Reserve(size, name+" heap"); err != nil {
		return err
	}
	if h.pageMapMemory, err = osmem.Reserve(roundUp(pages*pageMapBytes), name+" page map"); err != nil {
		return err
	}
	if err = h.spans.reserve(pages, name); err != nil {
		return err
	}
	// Free looks into the page map for any address of the range.
	if err = h.pageMapMemory.Back(h.pageMapMemory.Size); err != nil {
		return err
	}
	h.base, h.size = h.memory.Base, size
	if err = h.place(c.Placement, c.machine); err != nil {
		return err
	}
	h.pageMap.open(h.pageMapMemory.Base, pages)
	return nil
}

func roundUp(size uintptr) uintptr { return (size + osmem.Granule - 1) &^ (osmem.Granule - 1) }

// unmap gives all ranges back.
func (h *Heap) unmap() error {
	return errors.Join(h.memory.Unmap(), h.pageMapMemory.Unmap(), h.spans.memory.Unmap())
}

// Close gives all memory of the heap back to the system, blocks in use too. No
// other method may run meanwhile. Later calls of Blocks are slow ones, and no address
// belongs to the heap. After an error it may be called again, for what is left.
func (h *Heap) Close() error {
	// First those who work on h unasked.
	h.upkeep.end()
	h.budget.close()
	h.Blocks.Close()
	h.size = 0
	if err := errors.Join(h.Magazines.Close(), h.unmap()); err != nil {
		return fmt.Errorf("arena: %w", osmem.Explain(err))
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
