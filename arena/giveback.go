package arena

// returnOne returns memory of one free span to the system, one of the longest, and
// reports whether it found a candidate. It returns about the given number of pages at the
// most. Huge pages that are partly in use are broken only if hard, and as the last.
// The lock is not held meanwhile, so what the caller knew of free spans is out of date
// afterwards. What the system does not take, or what shares an OS page with a span in
// use, stays resident, and is no candidate until retry.
func (h *pageHeap) returnOne(most uint32, hard bool) bool {
	_, ok, _ := h.tryOne(most, hard)
	return ok
}

// tryOne is returnOne with the number of pages and the error of the system.
func (h *pageHeap) tryOne(most uint32, hard bool) (returned int64, ok bool, err error) {
	run, begin, end := h.victim(hard)
	if run == 0 {
		return 0, false, nil
	}
	begin = h.pieceBegin(begin, end, most)
	s := *h.take(run)
	runEnd := run + s.pages
	// The bitmaps of free pages that lie on the same OS pages go along. All else stays in
	// reach of other threads.
	first, last := bitmapBounds(begin, end)
	first, last = max(run, first), min(runEnd, last)
	resident, behind := h.spans.residentIn(first, last-first), uint32(0)
	if s.refused || h.huge != nil {
		behind = h.spans.residentIn(last, runEnd-last)
	}
	h.putPart(run, first-run, s.resident-resident-behind, &s)
	h.putPart(last, runEnd-last, behind, &s)
	h.resident += int64(resident)
	h.transit += int64(last - first)
	h.asked += int64(end - begin)
	err = h.releaseUnlocked(begin, end, first, last)
	h.resident -= int64(resident)
	h.transit -= int64(last - first)
	if err == nil {
		begin, end := h.wholeOSPages(begin, end)
		gone := h.spans.residentIn(begin, end-begin)
		h.refused -= int64(h.spans.refusedIn(begin, end-begin))
		h.spans.setBare(begin, end-begin)
		resident -= gone
		returned = int64(gone)
		h.released += returned
		h.budget.charge(-returned)
	}
	if err == nil && h.huge != nil {
		h.huge.returned(begin, end)
	}
	h.refuse(begin, end)
	h.put(first, span{pages: last - first, resident: resident, refused: s.refused || h.refused > 0})
	h.arrived.Broadcast()
	return returned, true, err
}

// bareGap is how many bare pages in a row are returned once more together with candidates
// on both sides of them, to save a system call.
const bareGap = 16

// pieceBegin returns where in a part of a free run, whose last OS page has a candidate,
// the piece begins that is returned at once: it has about the given number of candidates,
// no long gaps, and only whole OS pages or, where these are to be spared, huge pages.
func (h *pageHeap) pieceBegin(begin, end, most uint32) uint32 {
	first := end - 1
	for page, found, gap := end, uint32(0), 0; page > begin && found < most && gap < bareGap; {
		page--
		mark := *h.spans.goneAt(page)
		if mark&refused != 0 {
			break
		}
		if gap++; mark != bare {
			first, gap = page, 0
			found++
		}
	}
	return max(begin, h.base+(first-h.base)/h.step()*h.step())
}

// step returns how many pages go to the system together: those of an OS page, or of a
// huge page where these are to be spared.
func (h *pageHeap) step() uint32 {
	if h.huge != nil {
		return regionPages
	}
	return osPages()
}

// candidatesIn returns the end of the last OS page, or huge page, of a part of a free run
// on which a candidate lies.
func (h *pageHeap) candidatesIn(begin, end uint32) (last uint32, ok bool) {
	page := h.spans.lastCandidate(begin, end)
	if page == 0 {
		return 0, false
	}
	return min(end, h.base+((page-h.base)/h.step()+1)*h.step()), true
}

// refuse marks the candidates of a part of a free run that were not returned.
func (h *pageHeap) refuse(begin, end uint32) {
	for page := begin; page < end; page++ {
		if h.spans.isCandidate(page) {
			*h.spans.goneAt(page) |= refused
			h.refused++
		}
	}
}

// releaseUnlocked returns the memory of pages from begin to end to the system, and the
// bitmaps of the free run from first to last around them, without the lock.
func (h *pageHeap) releaseUnlocked(begin, end, first, last uint32) error {
	h.mu.Unlock()
	defer h.mu.Lock()
	if h.huge != nil {
		h.huge.advising.Lock()
		defer h.huge.advising.Unlock()
	}
	_, _, err := h.memory.Release(h.offsetOf(begin), uintptr(end-begin)<<pageShift)
	if err == nil {
		// What the system does not take of these stays, and is tried again with the memory of
		// such a run.
		h.spans.closeBitmaps(first, last-first)
	}
	return err
}

// retry makes the pages candidates again that the system did not take: what was wrong
// then, such as a lock on the memory, may be over. The caller has the lock.
func (h *pageHeap) retry() {
	for _, b := range []*bins{&h.backed, &h.kept, &h.bare} {
		b.each(h.spans, func(page uint32) bool {
			if h.spans.at(page).refused {
				s := *h.take(page)
				h.unrefuse(page, s.pages)
				s.refused, s.stuck = false, false
				h.put(page, s)
			}
			return h.refused > 0
		})
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
	for more() {
		returned, ok, err := h.tryOne(maxPages, true)
		pages += returned
		if first == nil {
			first = err
		}
		if !ok && !h.await() {
			break
		}
	}
	return pages, first
}

// returnPages returns the memory of about so many pages of free spans to the
// system, or of as many as there are: those on dense huge pages only if hard. It returns
// how many pages these were.
func (h *pageHeap) returnPages(pages int64, hard bool) (returned int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for returned < pages {
		more, ok, _ := h.tryOne(uint32(min(pages-returned, returnedAtOnce)), hard)
		if !ok {
			break
		}
		returned += more
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
