package arena

// returnOne returns memory of one free span to the system, one of the longest, and
// reports whether there was one. It returns about the given number of pages at the
// most. Huge pages that others use most of are broken only if hard, and as the last.
// The lock is not held meanwhile, so what the caller knew of free spans is out of date
// afterwards. What the system does not take, or what shares an OS page with a span in
// use, stays resident.
func (h *pageHeap) returnOne(most uint32, hard bool) bool {
	ok, _ := h.tryOne(most, hard)
	return ok
}

// tryOne is returnOne with the error of the system.
func (h *pageHeap) tryOne(most uint32, hard bool) (ok bool, err error) {
	page, begin, end := h.victim(hard)
	if page == 0 {
		return false, nil
	}
	s := *h.take(page)
	left := false // does something stay that could go, too?
	// What lies at an end and shares an OS page with others does not go: cut off alone it
	// would be tried again and again.
	if first, last := h.wholeOSPages(begin, end); h.spans.residentIn(first, last-first) > most {
		at := h.spans.tail(last, most)
		if h.huge == nil {
			at = max(page, h.base+(at-h.base)&^(osPages()-1))
			s.pages -= at - page
			rest := s.resident
			s.resident = h.spans.residentIn(at, s.pages)
			if at > page {
				h.put(page, span{pages: at - page, resident: rest - s.resident, dirty: s.dirty})
			}
			page, begin = at, at
		} else {
			at = max(begin, h.huge.begin(h.huge.of(at)))
			left = at > begin
			begin = at
		}
	}
	h.resident += int64(s.resident)
	h.transit += int64(s.pages)
	zeroed, err := h.releaseUnlocked(page, s.pages, begin, end)
	h.resident -= int64(s.resident)
	h.transit -= int64(s.pages)
	all := end-begin == s.pages
	if err == nil {
		first, last := h.wholeOSPages(begin, end)
		returned := h.spans.residentIn(first, last-first)
		h.spans.setBare(first, last-first)
		h.released += int64(returned)
		h.budget.charge(-int64(returned))
		s.resident -= returned
		s.dirty = s.dirty && !(zeroed && all)
		if h.huge != nil {
			h.huge.returned(begin, end)
		}
	}
	s.stuck = s.resident > 0 && (all || err != nil)
	s.kept = s.resident > 0 && !s.stuck && !left
	h.put(page, s)
	h.arrived.Broadcast()
	return true, err
}

// releaseUnlocked returns the memory of pages from begin to end of a run to the system,
// and the bitmaps of the run, without the lock.
func (h *pageHeap) releaseUnlocked(run, pages, begin, end uint32) (zeroed bool, err error) {
	h.mu.Unlock()
	defer h.mu.Lock()
	if h.huge != nil {
		h.huge.advising.Lock()
		defer h.huge.advising.Unlock()
	}
	_, zeroed, err = h.memory.Release(h.offsetOf(begin), uintptr(end-begin)<<pageShift)
	if err == nil {
		// What the system does not take of these stays, and is tried again with the memory of
		// such a run.
		h.spans.closeBitmaps(run, pages)
	}
	return zeroed, err
}

// retry makes the free spans candidates again that the system did not take: what
// was wrong then, such as a lock on the memory, may be over. The caller has the lock.
func (h *pageHeap) retry() {
	for bin := 0; h.stuck > 0 && bin < len(h.bare.lists); bin++ {
		for page := h.bare.lists[bin].first; page != 0; {
			next := h.spans.at(page).next
			if h.spans.at(page).stuck {
				s := *h.take(page)
				s.stuck = false
				h.put(page, s)
			}
			page = next
		}
	}
}

// await waits for a span in transit to arrive, and reports whether one was.
func (h *pageHeap) await() bool {
	if h.transit == 0 {
		return false
	}
	h.arrived.Wait()
	return true
}

// trim returns the memory of free spans to the system until more says no, and waits for
// what others return just now. It reports how many pages went, and the first error of the
// system.
func (h *pageHeap) trim(more func() bool) (pages int64, first error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retry()
	before := h.released
	for more() {
		ok, err := h.tryOne(maxPages, true)
		if first == nil {
			first = err
		}
		if !ok && !h.await() {
			break
		}
	}
	return h.released - before, first
}

// returnPages returns the memory of about so many pages of free spans to the
// system, or of as many as there are: those on dense huge pages only if hard. It returns
// how many pages these were.
func (h *pageHeap) returnPages(pages int64, hard bool) (returned int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.released
	for returned < pages && h.returnOne(uint32(min(pages-returned, returnedAtOnce)), hard) {
		returned = h.released - before
	}
	return returned
}

const (
	// retainedLeast is how much free memory stays of itself, in pages, and retainedShare
	// what part of the pages in use, if that is more.
	retainedLeast = 64 << 20 >> pageShift
	retainedShare = 8
)

// RetainAtMost makes the memory of free pages beyond so many bytes go back at once when
// a large block is freed: it would be much that waits for upkeep. 0 stands for 64 MiB, or
// an eighth of what is in use. Call it once, before h is used.
func (h *Heap) RetainAtMost(bytes int64) {
	if h.retained = bytes >> pageShift; bytes == 0 {
		h.retained = -1
	}
}

// giveExcess returns the free memory of a node that is not to be retained.
func (h *Heap) giveExcess(n *node) {
	if h.retained == noBound {
		return
	}
	if excess := n.pages.excess(h.retained, int64(len(h.nodes))); excess > 0 {
		n.pages.returnPages(excess, false)
	}
}

// excess returns how many free pages there are that may take memory, beyond those that
// may be retained by all of so many nodes; a negative number stands for the default.
func (h *pageHeap) excess(retained, nodes int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if retained < 0 {
		return h.resident - max(retainedLeast/nodes, h.used/retainedShare)
	}
	return h.resident - retained/nodes
}

// returnedAtOnce bounds one system call that returns memory, in pages: 16 MiB.
const returnedAtOnce = 16 << 20 >> pageShift

// takeLow returns the lowest number of resident free pages since the last call.
func (h *pageHeap) takeLow() (low int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	low, h.low = min(h.low, h.resident), h.resident
	return low
}

// canReturn reports whether a free span has memory that returnPages returns.
func (h *pageHeap) canReturn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	page, _, _ := h.victim(false)
	return page != 0
}

// residentNow returns how many free pages may take memory that can be returned.
func (h *pageHeap) residentNow() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resident
}
