package arena

import (
	"fmt"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// Alloc returns an object of the class: from this vCPU's magazine, else from
// the floors below, a batch of which then fills the magazine. The error is a
// *LimitError or wraps ErrNoMemory; see Explain.
func (h *Heap) Alloc(class uint8) (unsafe.Pointer, error) {
	// This thread may just not have been registered yet.
	if object := h.Magazines.Pop(int(class)); object != nil {
		return object, nil
	}
	batch := int(classes[class].batch)
	h.grow(class, batch)
	if object := h.nodeHere().transfer[class].refill(&h.Magazines, class, batch); object != nil {
		h.upkeep.begin(h)
		return object, nil
	}
	return h.allocBelow(class)
}

// allocBelow is Alloc when the transfer cache is empty.
func (h *Heap) allocBelow(class uint8) (unsafe.Pointer, error) {
	seen := h.rescue.rounds.Load()
	object, err := h.refill(class)
	if err != nil {
		err = h.insist(seen, class, int64(classes[class].pages), err, func() (err error) {
			object, err = h.refill(class)
			return err
		})
	}
	return object, err
}

// refill takes a batch from the floors below, returns its first object and puts
// the others into the magazine.
func (h *Heap) refill(class uint8) (unsafe.Pointer, error) {
	var array [maxBatch]unsafe.Pointer
	batch := array[:classes[class].batch]
	n := 0
	err := h.serve(int64(classes[class].pages), func(from *node) (err error) {
		n, err = h.fetch(from, class, batch)
		return err
	})
	if err != nil {
		return nil, err
	}
	if kept := 1 + h.Magazines.PushBatch(int(class), batch[1:n]); kept < n {
		h.giveBack(class, batch[kept:n])
	}
	h.upkeep.begin(h)
	return batch[0], nil
}

// fetch takes objects of a node out of its transfer cache, or else of its spans.
func (h *Heap) fetch(from *node, class uint8, into []unsafe.Pointer) (int, error) {
	if n := from.transfer[class].take(into); n > 0 {
		return n, nil
	}
	return h.takeObjects(from, class, into)
}

// giveBack moves free objects to the transfer caches of their nodes, and what these
// have no room for to the spans. It returns an object that was found to be free
// already. The order of the objects changes.
func (h *Heap) giveBack(class uint8, objects []unsafe.Pointer) (twice unsafe.Pointer) {
	for len(objects) > 0 {
		n, count := h.sameNode(objects)
		if given := n.transfer[class].give(class, objects[:count]); given < count {
			if also := h.giveObjectsOf(n, class, objects[given:count]); twice == nil {
				twice = also
			}
		}
		objects = objects[count:]
	}
	return twice
}

// Free puts an object, of which ClassAt returned the class, into this vCPU's
// magazine, and makes room there if it must. duplicate is an object that turned out
// to have been freed before, or nil. If it is this one, it was not freed again; if it
// is another one, this one was freed.
func (h *Heap) Free(class uint8, object unsafe.Pointer) (duplicate unsafe.Pointer) {
	switch h.Magazines.Push(int(class), object) {
	case rseqcs.Pushed:
		return nil
	case rseqcs.Duplicate:
		return object
	}
	if batch := int(classes[class].batch); !h.grow(class, batch) {
		switch h.flush(class, object) {
		case flushedAgain:
			h.upkeep.begin(h)
			return object
		case notFlushed:
			return h.freeBelow(class, object)
		}
	}
	h.upkeep.begin(h)
	// The object goes on top, where a second Free of it is seen.
	switch h.Magazines.Push(int(class), object) {
	case rseqcs.Pushed:
		return nil
	case rseqcs.Duplicate:
		return object
	}
	return h.freeBelow(class, object)
}

// flush moves a batch from this vCPU's magazine to the transfer cache of the node that
// the thread is on, and what is of other nodes to theirs. object is the one that is being
// freed.
func (h *Heap) flush(class uint8, object unsafe.Pointer) (result flushed) {
	n, batch := h.nodes[0], int(classes[class].batch)
	if len(h.nodes) > 1 {
		n = h.nodeHere() // which may empty the magazine
	}
	t := &n.transfer[class]
	t.mu.Lock()
	before := len(t.objects)
	result = t.flush(&h.Magazines, class, batch, object)
	if len(h.nodes) > 1 {
		if near := before + h.ofNode(n, t.objects[before:]); near < len(t.objects) {
			h.sortOut(t, class, near)
			return result
		}
	}
	t.mu.Unlock()
	return result
}

// sortOut unlocks a transfer cache and moves its objects from a place on, which are of
// other nodes, to theirs. There is a batch of them at the most.
//
//go:noinline so that the array is on the stack only where there are any
func (h *Heap) sortOut(t *transfer, class uint8, from int) {
	var array [maxBatch]unsafe.Pointer
	count := copy(array[:], t.objects[from:])
	t.objects = t.objects[:from]
	t.mu.Unlock()
	h.giveBack(class, array[:count])
}

// freeBelow is Free when the transfer cache has no room for a batch.
func (h *Heap) freeBelow(class uint8, object unsafe.Pointer) (duplicate unsafe.Pointer) {
	var array [maxBatch]unsafe.Pointer
	n := h.Magazines.PopBatch(int(class), array[:classes[class].batch])
	again := contains(array[:n], object)
	duplicate = h.giveBack(class, array[:n])
	h.upkeep.begin(h)
	if again {
		return object
	}
	switch h.Magazines.Push(int(class), object) {
	case rseqcs.Duplicate:
		return object
	case rseqcs.Full:
		array[0] = object
		if h.giveBack(class, array[:1]) != nil {
			return object
		}
	}
	return duplicate
}

// AllocLarge returns a block of whole pages for n bytes, n > 0, whose address
// is a multiple of align, a power of two. dirty tells that it may hold old
// bytes: ZeroLarge clears them. The error is a *LimitError or wraps ErrNoMemory or
// ErrTooLarge; see Explain.
func (h *Heap) AllocLarge(n, align int) (block unsafe.Pointer, dirty bool, err error) {
	alignPages := uint32(max(1, PagesFor(align)))
	return h.allocLarge(n, align, func(p *pageHeap, pages uint32) (uint32, bool, error) { return p.alloc(pages, alignPages) })
}

// AllocGrowing is AllocLarge of a block that ExtendLarge is likely to extend.
func (h *Heap) AllocGrowing(n int) (block unsafe.Pointer, dirty bool, err error) {
	return h.allocLarge(n, 1, (*pageHeap).allocRoomy)
}

func (h *Heap) allocLarge(n, align int, alloc func(p *pageHeap, pages uint32) (uint32, bool, error)) (block unsafe.Pointer, dirty bool, err error) {
	if uintptr(n) > h.size || uintptr(align) > h.size {
		return nil, false, fmt.Errorf("%w: %d bytes with an alignment of %d in a range of %d", ErrTooLarge, n, align, h.size)
	}
	pages := PagesFor(n)
	seen := h.rescue.rounds.Load()
	page, dirty, err := h.takeRun(uint32(pages), alloc)
	if err != nil {
		err = h.insist(seen, 0, int64(pages), err, func() (err error) {
			page, dirty, err = h.takeRun(uint32(pages), alloc)
			return err
		})
	}
	if err != nil {
		return nil, false, err
	}
	h.spans.at(page).state = spanLarge
	h.pageMap.setLarge(page)
	h.large.count(0, uint32(pages))
	if h.huge == HugeCollapse {
		h.upkeep.begin(h)
	}
	return h.addressOf(page), dirty, nil
}

// takeRun returns what alloc does with the page heap of a node.
func (h *Heap) takeRun(pages uint32, alloc func(p *pageHeap, pages uint32) (uint32, bool, error)) (page uint32, dirty bool, err error) {
	err = h.serve(int64(pages), func(from *node) (err error) {
		page, dirty, err = alloc(&from.pages, pages)
		return err
	})
	return page, dirty, err
}

// ZeroLarge makes the bytes of a large block from one offset up to another zero. It may
// leave out pages that held no old bytes when the block, or that part of it, was allocated:
// the caller has not given them to the program yet.
func (h *Heap) ZeroLarge(address unsafe.Pointer, from, end int) {
	h.spans.zeroFrom(&h.memory, uint32(h.offsetOf(address)>>pageShift), uintptr(from), uintptr(end))
}

// ExtendLarge extends the large block at address, at which one must start, to n
// bytes where it is, if the pages behind it are free and no limit forbids it.
// dirty tells that the new pages may hold old bytes, as with AllocLarge.
func (h *Heap) ExtendLarge(address unsafe.Pointer, n int) (dirty, ok bool) {
	page := uint32(h.offsetOf(address) >> pageShift)
	if uintptr(n) > h.size {
		return false, false
	}
	more := uint32(PagesFor(n)) - h.spans.at(page).pages
	if dirty, ok = h.nodeOf(page).pages.extend(page, more); ok {
		h.large.count(h.spans.at(page).pages-more, h.spans.at(page).pages)
	}
	return dirty, ok
}

// ShrinkLarge gives back what the large block at address, at which one must start,
// has above n bytes, n > 0.
func (h *Heap) ShrinkLarge(address unsafe.Pointer, n int) {
	page := uint32(h.offsetOf(address) >> pageShift)
	pages := h.spans.at(page).pages
	if keep := uint32(PagesFor(n)); keep < pages {
		h.large.count(pages, keep)
		n := h.nodeOf(page)
		n.pages.shrink(page, keep)
		h.giveExcess(n)
		h.upkeep.begin(h)
	}
}

// IsLarge reports whether a large block starts at address.
func (h *Heap) IsLarge(address unsafe.Pointer) bool {
	_, ok := h.largeAt(address)
	return ok
}

// FreeLarge frees a large block, and reports whether one starts at address. Of
// calls with the same address at the same time one succeeds.
func (h *Heap) FreeLarge(address unsafe.Pointer) bool {
	page, ok := h.largeAt(address)
	if !ok || !h.pageMap.claimLarge(page) {
		return false
	}
	s := h.spans.at(page)
	h.large.count(s.pages, 0)
	s.state = spanNone
	n := h.nodeOf(page)
	n.pages.release(page)
	h.giveExcess(n)
	h.upkeep.begin(h)
	return true
}

// largeAt returns the page at which the large block at address starts.
func (h *Heap) largeAt(address unsafe.Pointer) (page uint32, ok bool) {
	offset := h.offsetOf(address)
	if offset >= h.size || offset%PageSize != 0 {
		return 0, false
	}
	page = uint32(offset >> pageShift)
	return page, h.pageMap.at(uintptr(page)).Class() == classLarge
}

// UsableSize returns the bytes of the block that starts at address, or 0 where
// none does.
func (h *Heap) UsableSize(address unsafe.Pointer) int {
	if class := h.ClassAt(address); class != 0 {
		return ClassSize(class)
	}
	if page, ok := h.largeAt(address); ok {
		return int(h.spans.at(page).pages) << pageShift
	}
	return 0
}

// Owns reports whether address lies in the range of this heap.
func (h *Heap) Owns(address unsafe.Pointer) bool { return h.offsetOf(address) < h.size }

// Describe says in words what lies at address, for the message of a misuse.
func (h *Heap) Describe(address unsafe.Pointer) (what string, class uint8) {
	offset := h.offsetOf(address)
	if offset >= h.size {
		return "no memory of this allocator", 0
	}
	entry := *h.pageMap.at(offset >> pageShift)
	switch class := entry.Class(); class {
	case 0:
		return "no block in use: freed before, or the middle of a large block", 0
	case classLarge:
		return "the middle of a large block", 0
	default:
		return "the middle of a block", class
	}
}

// Trim moves what the caches hold back to the spans, and returns the memory of
// free pages and of the free OS pages of partly used spans to the system, until
// more says no. It returns how many bytes that were, and the first error of the
// system, after which it has gone on with the rest.
func (h *Heap) Trim(more func() bool) (int64, error) {
	h.reclaim(0, 0)
	pages, err := h.trimPages(more)
	released := pages << pageShift
	for range sweepPasses {
		swept, left, sweepErr := h.sweep(true, more)
		released += swept
		if err == nil {
			err = sweepErr
		}
		if !left || !more() {
			break
		}
	}
	return released, osmem.Explain(err)
}
