package arena

import (
	"bytes"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// Each page has a byte of marks. The low bits, one for each piece, say which pieces of a
// span of objects were returned to the system (sweep.go). The page heap uses the byte of
// a free page, and of a page that it has just handed out:
//
//	bare     free: the page takes no memory, since it was returned or never used
//	refused  free: the system did not take the page; it is no candidate until retry
//	fresh    handed out: the page was bare, and reads as zero until it is written to
//
// All other values of a free page mean that it may take memory and hold old bytes. A
// span of objects begins without marks.
const (
	bare    = 1<<piecesPerPage - 1
	refused = 1 << 6
	fresh   = 1 << 7
)

// goneOf returns the marks of a run, a byte for each page.
func (t *spanTable) goneOf(first, pages uint32) []byte {
	return unsafe.Slice(t.goneAt(first), pages)
}

// residentIn returns how many pages of a run are not bare.
func (t *spanTable) residentIn(first, pages uint32) uint32 {
	return pages - uint32(bytes.Count(t.goneOf(first, pages), []byte{bare}))
}

// refusedIn returns how many pages of a free run are marked as refused.
func (t *spanTable) refusedIn(first, pages uint32) (n uint32) {
	for _, mark := range t.goneOf(first, pages) {
		n += uint32(mark&refused) / refused
	}
	return n
}

// setBare marks all pages of a run.
func (t *spanTable) setBare(first, pages uint32) { fill(t.goneOf(first, pages), bare) }

// fill sets all marks to one value.
func fill(marks []byte, value byte) {
	if len(marks) == 0 {
		return
	}
	marks[0] = value
	for done := 1; done < len(marks); done *= 2 {
		copy(marks[done:], marks[:done])
	}
}

// setFresh turns the marks of a free run, which is handed out, into those of its owner,
// and reports whether a page may hold old bytes. Bare pages are zero where the system
// zeroes what it takes, and else from the given page on, which was never handed out.
func (t *spanTable) setFresh(first, pages, untouched uint32) (dirty bool) {
	if !osmem.ReleaseZeroes && first < untouched {
		old := min(pages, untouched-first)
		clear(t.goneOf(first, old))
		first, pages, dirty = first+old, pages-old, true
	}
	marks := t.goneOf(first, pages)
	switch uint32(bytes.Count(marks, []byte{bare})) {
	case pages:
		fill(marks, fresh)
		return dirty
	case 0:
		clear(marks)
		return true
	}
	for i, mark := range marks {
		marks[i] = 0
		if mark == bare {
			marks[i] = fresh
		}
	}
	return true
}

// zeroFrom makes bytes from offset up to end of a run zero that setFresh has marked,
// for its owner: those of fresh pages are.
func (t *spanTable) zeroFrom(memory *osmem.Range, first uint32, from, end uintptr) {
	for from < end {
		page := uint32(from >> pageShift)
		marks := t.goneOf(first+page, uint32((end-1)>>pageShift)+1-page)
		run := bytes.IndexByte(marks, fresh)
		if run < 0 {
			run = len(marks)
		}
		if dirtyEnd := min(end, uintptr(page+uint32(run))<<pageShift); from < dirtyEnd {
			memory.Zero(uintptr(first)<<pageShift+from, dirtyEnd-from)
		}
		marks = marks[run:]
		clean := len(marks) - len(bytes.TrimLeft(marks, "\x80"))
		from = uintptr(page+uint32(run+clean)) << pageShift
	}
}

// isCandidate reports whether a free page can be returned to the system.
func (t *spanTable) isCandidate(page uint32) bool {
	mark := *t.goneAt(page)
	return mark != bare && mark&refused == 0
}

// osPages returns how many pages an OS page has, at least 1.
func osPages() uint32 { return uint32(max(1, osmem.PageSize()>>pageShift)) }

// wholeOSPages returns the part of a run that is made of whole OS pages, or begin twice.
func (h *pageHeap) wholeOSPages(begin, end uint32) (first, last uint32) {
	step := osPages()
	first = h.base + (begin-h.base+step-1)&^(step-1)
	last = h.base + (end-h.base)&^(step-1)
	if first >= last {
		return begin, begin
	}
	return first, last
}
