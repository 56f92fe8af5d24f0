package arena

import "unsafe"

const (
	// maxPages bounds a heap, in pages: 4 TiB, so that 24 bits of a page map
	// entry hold any index in a span and 32 bits any page number.
	maxPages = 1 << 29

	// minReserve is the smallest range that a heap works with, in bytes.
	minReserve = 16 << 20

	// growPages is the least by which a heap grows, in pages: 1 MiB.
	growPages = 128

	// firstPage is the lowest page that is used. Number 0 stands for none in
	// the lists of spans.
	firstPage = 1

	// bitmapBytes is the room for the bits of one page's objects, in bytes.
	bitmapBytes = PageSize / 8 / 8
)

// A batch fits every magazine, and the bits of a span fit its pages.
const (
	_ uint    = 1024 - maxBatch
	_ uintptr = 32 - unsafe.Sizeof(span{})
	_ uintptr = unsafe.Sizeof(span{}) - 32
)
