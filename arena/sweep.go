package arena

import (
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// Spans that are partly used keep objects apart that are free, and whole OS pages
// of them. Which objects are free says the bitmap beside the span, so the content
// of such an OS page is not needed: its memory goes back to the system, and comes
// again, zero, when an object on it is handed out and touched.
//
// What is gone is noted in pieces of 4 KiB, the smallest OS page there is. Budgets
// count in pages: they give up as many as all pieces of a node make.
const (
	pieceShift    = 12
	pieceSize     = 1 << pieceShift
	piecesPerPage = PageSize / pieceSize
)

// sweptStill is at which sweep of a span that nobody touches its free OS pages go
// back to the system, once.
const sweptStill = 2

// refusedStill marks a span of which the system did not take all that is free: Trim tries again, the background goroutine does not.
const refusedStill = sweptStill + 1

// sweepChunk is how many spans are swept at most before others get the central
// list's lock.
const sweepChunk = 16

// sweepPasses bounds how often Trim goes over all spans while others move them from list
// to list.
const sweepPasses = 4

// goneAt returns the gone bits of the page with the given number.
func (t *spanTable) goneAt(page uint32) *uint8 {
	return (*uint8)(unsafe.Add(t.gone.Base, uintptr(page)))
}

// isGone reports whether a piece of the range is gone.
func (t *spanTable) isGone(piece uintptr) bool {
	return *t.goneAt(uint32(piece / piecesPerPage))>>(piece%piecesPerPage)&1 != 0
}

// setGone marks a piece of the range.
func (t *spanTable) setGone(piece uintptr, gone bool) {
	bit := uint8(1) << (piece % piecesPerPage)
	if at := t.goneAt(uint32(piece / piecesPerPage)); gone {
		*at |= bit
	} else {
		*at &^= bit
	}
}

// osPieces returns how many pieces an OS page has.
func osPieces() uintptr { return max(1, osmem.PageSize()/pieceSize) }

// sweep returns the free OS pages of partly used spans to the system until more
// says no, of all spans or only of those that nobody has touched since the last
// sweep. It returns how many bytes these were, whether the next sweep may find
// more, and the first error of the system.
func (h *Heap) sweep(all bool, more func() bool) (released int64, left bool, err error) {
	if all && (h.huge == HugeAdvise || h.huge == HugeCollapse) {
		if released, left, err = h.sweepNodes(true, false, more); !more() {
			return released, left, err
		}
	}
	bytes, again, failed := h.sweepNodes(all, all, more)
	if err == nil {
		err = failed
	}
	return released + bytes, left || again, err
}

// sweepNodes is sweep that breaks dense huge pages only if hard.
func (h *Heap) sweepNodes(all, hard bool, more func() bool) (released int64, left bool, err error) {
	for _, n := range h.nodes {
		for class := uint8(1); class < classCount; class++ {
			bytes, passed, failed := h.sweepClass(n, class, all, hard, more)
			released += bytes
			left = left || passed
			if err == nil {
				err = failed
			}
		}
	}
	return released, left, err
}

// sweepClass is sweep of the spans of a class on a node.
func (h *Heap) sweepClass(n *node, class uint8, all, hard bool, more func() bool) (released int64, left bool, err error) {
	c := &n.central[class]
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.partial.walk()
	defer c.partial.endWalk(at)
	for list := range c.partial.lists {
		at.next = c.partial.lists[list].first
		for count := 1; at.next != 0; count++ {
			page := at.next
			s := h.spans.at(page)
			at.next = s.next
			switch {
			case s.still == sweptStill || s.still == refusedStill && !all:
				// Nothing has changed since the last sweep.
			case all || s.still == sweptStill-1:
				bytes, spared, failed := h.sweepSpan(n, page, hard)
				released += bytes
				if s.still = sweptStill; failed != nil || spared {
					s.still = refusedStill
				}
				if err == nil {
					err = failed
				}
				if bytes > 0 && !more() {
					return released, true, err
				}
			default:
				s.still++
				left = true
			}
			if count%sweepChunk == 0 && at.next != 0 {
				if !more() {
					return released, true, err
				}
				c.mu.Unlock()
				c.mu.Lock()
			}
		}
	}
	return released, left || at.moved, err
}

// sweepSpan returns the OS pages of a span to the system on which all objects are
// free, and how many bytes these were. Those on dense huge pages are spared unless
// hard. The caller has the central list's lock.
func (h *Heap) sweepSpan(n *node, page uint32, hard bool) (released int64, spared bool, err error) {
	s := h.spans.at(page)
	k := &classes[s.class]
	step := osPieces() * pieceSize
	bitmap := h.spans.bitmap(page, k.perSpan)
	begin := uintptr(page) << pageShift
	end := begin + uintptr(k.pages)<<pageShift
	run := uintptr(0) // bytes of free OS pages right before at
	at := (begin + step - 1) &^ (step - 1)
	for ; at+step <= end; at += step {
		first := (at - begin) / uintptr(k.size)
		last := min(uintptr(k.perSpan), (at-begin+step+uintptr(k.size)-1)/uintptr(k.size))
		if !h.spans.isGone(at>>pieceShift) && allOnes(bitmap, first, last) {
			if hard || !n.pages.isDense(uint32(at>>pageShift)) {
				run += step
				continue
			}
			spared = true
		}
		bytes, failed := h.releasePieces(n, s, at-run, run)
		if released, run = released+bytes, 0; err == nil {
			err = failed
		}
	}
	bytes, failed := h.releasePieces(n, s, at-run, run)
	if err == nil {
		err = failed
	}
	return released + bytes, spared, err
}

// releasePieces returns the memory of whole OS pages inside of a span to the
// system and marks them. If the system refuses, nothing has changed.
func (h *Heap) releasePieces(n *node, s *span, offset, size uintptr) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	if g := n.pages.huge; g != nil {
		g.advising.Lock()
		defer g.advising.Unlock()
	}
	if _, _, err := h.memory.Release(offset, size); err != nil {
		return 0, err
	}
	for piece := offset >> pieceShift; piece < (offset+size)>>pieceShift; piece++ {
		h.spans.setGone(piece, true)
	}
	n.pages.breakUp(uint32(offset>>pageShift), uint32((offset+size-1)>>pageShift)+1)
	s.gone += uint16(size >> pieceShift)
	n.gone.released.Add(int64(size))
	h.budget.charge(-n.gone.add(int64(size >> pieceShift)))
	return int64(size), nil
}

// piecesUnder returns the first piece of the OS pages that an object lies on, and
// the one behind the last. offset is that of the object in its span.
func piecesUnder(page uint32, offset, size uintptr) (first, end uintptr) {
	step := osPieces()
	begin := uintptr(page)<<pageShift + offset
	return begin >> pieceShift &^ (step - 1), (begin+size-1)>>pieceShift | (step - 1) + 1
}

// isGone reports whether an object lies on an OS page that is gone.
func (h *Heap) isGone(page uint32, offset, size uintptr) bool {
	first, end := piecesUnder(page, offset, size)
	for piece := first; piece < end; piece++ {
		if h.spans.isGone(piece) {
			return true
		}
	}
	return false
}

// revive takes back the marks of the OS pages that an object lies on, which is
// about to be handed out, and charges them. If a limit has no room for them, that is
// the error, and nothing has changed.
func (h *Heap) revive(page uint32, offset, size uintptr) error {
	first, end := piecesUnder(page, offset, size)
	revived := uint16(0)
	for piece := first; piece < end; piece++ {
		if h.spans.isGone(piece) {
			revived++
		}
	}
	n := h.nodeOf(page)
	if err := n.gone.remove(int64(revived), 0, h.budget, n.pages.charge); err != nil {
		return err
	}
	for piece := first; piece < end; piece++ {
		h.spans.setGone(piece, false)
	}
	h.spans.at(page).gone -= revived
	return nil
}

// forgetGone makes the page heap the owner of a span's marks: pages that are gone as a
// whole are bare from now on. It returns how much the budget changes by that, when they
// are no more used.
func (h *Heap) forgetGone(page uint32) (charge int64) {
	s, n := h.spans.at(page), h.nodeOf(page)
	pages := classes[s.class].pages
	if s.gone == 0 {
		return 0
	}
	gone := int64(s.gone)
	s.gone = 0
	whole := int64(pages - h.spans.residentIn(page, pages))
	// One that is gone in part counts again.
	err := n.gone.remove(gone, whole, h.budget, func(pages int64) error {
		if full := h.budget.charge(pages); full != nil {
			return full.refuse(uint32(pages), 0)
		}
		return nil
	})
	if err == nil {
		return 0
	}
	size := uintptr(pages) << pageShift
	bytes, _, err := h.memory.Release(uintptr(page)<<pageShift, size)
	more := -n.gone.add(-gone) // pages that the budget would have to count
	if err == nil && bytes == size {
		h.spans.setBare(page, pages)
		n.gone.released.Add(int64(bytes))
		return more - int64(pages)
	}
	h.overlook(page, pages, more-whole)
	return 0
}

// overlook makes pages bare that are gone in part, so many of them, where neither the
// budget has room for these nor the system takes them: of each, a piece more takes
// memory than is counted. It is cleared, since bare pages are zero.
func (h *Heap) overlook(page, pages uint32, count int64) {
	for i, mark := range h.spans.goneOf(page, pages) {
		if count == 0 || mark == 0 || mark == bare {
			continue
		}
		for piece := range uintptr(piecesPerPage) {
			if mark>>piece&1 == 0 {
				clear(h.memory.Bytes(uintptr(page+uint32(i))<<pageShift+piece*pieceSize, pieceSize))
			}
		}
		h.spans.setBare(page+uint32(i), 1)
		count--
	}
}

// goneStats counts the pieces that are gone now, and the bytes that ever were.
type goneStats struct{ pieces, released atomic.Int64 }

// add counts pieces as gone, a negative number as there again, and returns how many
// pages more a budget gives up for it.
func (g *goneStats) add(pieces int64) (pages int64) {
	after := g.pieces.Add(pieces)
	return after/piecesPerPage - (after-pieces)/piecesPerPage
}

// remove counts pieces as there again, if the budget has room: charge gets the pages
// that it counts more for that, less those that are given up in another way.
func (g *goneStats) remove(pieces, free int64, budget *Budget, charge func(pages int64) error) error {
	for {
		before := g.pieces.Load()
		pages := before/piecesPerPage - (before-pieces)/piecesPerPage - free
		if err := charge(pages); err != nil {
			return err
		}
		if g.pieces.CompareAndSwap(before, before-pieces) {
			return nil
		}
		budget.charge(-pages)
	}
}

// uncharged returns how many pages are not charged because of what is gone.
func (g *goneStats) uncharged() int64 { return g.pieces.Load() / piecesPerPage }

// allOnes reports whether the bits from first up to last are all set.
func allOnes(bitmap []uint64, first, last uintptr) bool {
	for first < last {
		word, bit := first/64, first%64
		count := min(64-bit, last-first)
		mask := ^uint64(0) >> (64 - count) << bit
		if bitmap[word]&mask != mask {
			return false
		}
		first += count
	}
	return true
}
