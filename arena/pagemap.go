package arena

import (
	"sync/atomic"
	"unsafe"
)

// pageMap tells of every page of the range, with one load, what lies on it. An
// entry is
//
//	class | index of the page in its span << entryIndexShift
//
// with class 0 on pages that hold no object (free pages, and all but the first
// page of a large span) and classLarge on the first page of a large span.
//
// The entries of a span change while its pages belong to the caller of the
// page heap alone; a program that frees a pointer into such a page at the same
// time misuses it.
type pageMap struct {
	entries unsafe.Pointer // []uint32
}

const (
	entryClassMask  = 0xff
	entryIndexShift = 8

	classLarge = 255
)

func (m *pageMap) at(page uintptr) *uint32 {
	return (*uint32)(unsafe.Add(m.entries, page*4))
}

// setSmall marks the pages of a span of objects.
func (m *pageMap) setSmall(first, pages uint32, class uint8) {
	for i := range pages {
		*m.at(uintptr(first + i)) = uint32(class) | i<<entryIndexShift
	}
}

// setLarge marks a span that is one block.
func (m *pageMap) setLarge(first uint32) { *m.at(uintptr(first)) = classLarge }

// claimLarge clears the entry of a large span, and reports whether this call
// was the one that did.
func (m *pageMap) claimLarge(first uint32) bool {
	return atomic.CompareAndSwapUint32(m.at(uintptr(first)), classLarge, 0)
}

// clear marks the pages as holding no object.
func (m *pageMap) clear(first, pages uint32) {
	for i := range pages {
		*m.at(uintptr(first + i)) = 0
	}
}
