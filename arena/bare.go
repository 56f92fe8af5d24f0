package arena

import (
	"bytes"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// bare marks a page of a free span that takes no memory: it was returned to the
// system, or never used. The marks are the gone bits of its pieces (sweep.go), all of
// them; one that has only some may take memory. A page of a block has none, touched or
// not, and a span of objects begins with none.
const bare = 1<<piecesPerPage - 1

// goneOf returns the gone bits of a run, a byte for each page.
func (t *spanTable) goneOf(first, pages uint32) []byte {
	return unsafe.Slice(t.goneAt(first), pages)
}

// residentIn returns how many pages of a run are not bare.
func (t *spanTable) residentIn(first, pages uint32) uint32 {
	return pages - uint32(bytes.Count(t.goneOf(first, pages), []byte{bare}))
}

// setBare marks all pages of a run.
func (t *spanTable) setBare(first, pages uint32) {
	for gone := t.goneOf(first, pages); len(gone) > 0; gone = gone[1:] {
		gone[0] = bare
	}
}

// tail returns from which page on a run up to end has so many pages that are not bare;
// it has more.
func (t *spanTable) tail(end, resident uint32) (begin uint32) {
	for begin = end; resident > 0; {
		if begin--; *t.goneAt(begin) != bare {
			resident--
		}
	}
	return begin
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
