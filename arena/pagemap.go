package arena

import (
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// classLarge marks the first page of a large span in the page map. Its other
// pages, and free ones, have class 0.
//
// The entries of a span change while its pages belong to the caller of the page
// heap alone; a program that frees a pointer into such a page at the same time
// misuses it.
const classLarge = 255

// pageMap tells of every page of the range, with one load, what lies on it: the check
// words for the sections, the entries for all others.
//
//	the check word of a page is CheckOf what its entry says, and 0 where no object lies
type pageMap struct {
	entries *rseqcs.PageEntry // of page 0
	checks  *rseqcs.CheckWord // likewise
}

// pageMapBytes is what the map takes for each page.
const pageMapBytes = unsafe.Sizeof(rseqcs.PageEntry(0)) + unsafe.Sizeof(rseqcs.CheckWord(0))

// noOwner is the owner of all spans.
const noOwner = 0

// open makes m the map of so many pages, in memory that is zero.
func (m *pageMap) open(memory unsafe.Pointer, pages uintptr) {
	m.checks = (*rseqcs.CheckWord)(memory)
	m.entries = (*rseqcs.PageEntry)(unsafe.Add(memory, pages*unsafe.Sizeof(*m.checks)))
}

func (m *pageMap) at(page uintptr) *rseqcs.PageEntry {
	return (*rseqcs.PageEntry)(unsafe.Add(unsafe.Pointer(m.entries), page*unsafe.Sizeof(*m.entries)))
}

func (m *pageMap) checkAt(page uintptr) *rseqcs.CheckWord {
	return (*rseqcs.CheckWord)(unsafe.Add(unsafe.Pointer(m.checks), page*unsafe.Sizeof(*m.checks)))
}

// setSmall marks the pages of a span of objects.
func (m *pageMap) setSmall(first, pages uint32, class uint8) {
	for i := range pages {
		*m.at(uintptr(first + i)) = rseqcs.EntryOf(class, i)
		*m.checkAt(uintptr(first + i)) = classTable.CheckOf(class, i, first+i, noOwner)
	}
}

// setLarge marks a span that is one block.
func (m *pageMap) setLarge(first uint32) { *m.at(uintptr(first)) = rseqcs.EntryOf(classLarge, 0) }

// claimLarge clears the entry of a large span, and reports whether this call
// was the one that did.
func (m *pageMap) claimLarge(first uint32) bool {
	entry := (*uint32)(m.at(uintptr(first)))
	return atomic.CompareAndSwapUint32(entry, uint32(rseqcs.EntryOf(classLarge, 0)), 0)
}

// clear marks the pages as holding no object.
func (m *pageMap) clear(first, pages uint32) {
	for i := range pages {
		*m.at(uintptr(first + i)) = 0
		*m.checkAt(uintptr(first + i)) = 0
	}
}
