package arena

import "unsafe"

// worthDraining is the share of the heap that other vCPUs' magazines must hold
// before reclaim stops them: draining costs everyone a refill, and it takes the
// freeing of that much memory until it is worth it again.
const worthDraining = 16

// reclaim moves the free objects of the caches back to the spans, so that whole
// spans become free: of the transfer caches, of this vCPU's magazines, and, if
// they hold enough for it to help, of all the others'. want is how many bytes
// the caller needs; 0 means all that can be had.
func (h *Heap) reclaim(want int64) {
	// One at a time: what a second one would find is in the hands of the first.
	h.draining.Lock()
	defer h.draining.Unlock()
	for class := uint8(1); class < classCount; class++ {
		var array [maxBatch]unsafe.Pointer
		for {
			n := h.transfer[class].take(array[:])
			n += h.Magazines.PopBatch(int(class), array[n:])
			if n == 0 {
				break
			}
			h.giveObjects(class, array[:n])
		}
	}
	most := int64(h.size)
	if limit := h.pages.budget.Limit(); limit > 0 {
		most = min(most, limit)
	}
	if want == 0 || h.heldByVCPUs() >= max(want, most/worthDraining) {
		h.Magazines.Drain(func(class int, objects []unsafe.Pointer) {
			h.giveObjects(uint8(class), objects)
		})
	}
}

// makeRoom is what a heap does before it refuses pages: it moves what its caches
// hold back to the spans, returns free OS pages of these, and makes the heaps that
// share a full budget with it return their free memory. The caller holds no lock.
func (h *Heap) makeRoom(pages int64) {
	h.reclaim(pages << pageShift)
	h.pages.mu.Lock()
	h.pages.retry()
	h.pages.mu.Unlock()
	need := pages - h.pages.residentNow()
	if full := func() bool { return h.pages.budget.lacks(need) != nil }; full() {
		h.sweep(true, full)
	}
	for node := h.pages.budget; node != nil; node = node.parent {
		node.squeeze(h, need)
	}
}

// giveWay returns the free memory of h to the system, for another heap: first what
// is free in whole pages, and inside of spans until full says no.
func (h *Heap) giveWay(full func() bool) {
	h.reclaim(0)
	h.pages.trim(func() bool { return true })
	if full() {
		h.sweep(true, full)
	}
}

// heldByVCPUs returns the bytes of free objects in all magazines.
func (h *Heap) heldByVCPUs() (bytes int64) {
	slabs, _ := h.Magazines.Slabs()
	for class := 1; class < classCount; class++ {
		for slab := range slabs {
			bytes += int64(h.Magazines.Len(slab, class)) * int64(classes[class].size)
		}
	}
	return bytes
}
