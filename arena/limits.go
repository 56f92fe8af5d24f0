package arena

import (
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

const (
	// MaxReserve is the largest range that a heap works with, in bytes: 4 TiB,
	// and 512 MiB where addresses have 32 bits.
	MaxReserve = 1 << (29 + 13*(^uint(0)>>63))

	// MinReserve is the smallest, in bytes.
	MinReserve = 16 << 20

	// maxPages bounds a heap, in pages, so that 24 bits of a page map entry hold
	// the index in any span of objects and 32 bits any page number.
	maxPages = MaxReserve >> pageShift

	// growPages is the least by which a heap grows, in pages: 1 MiB.
	growPages = 128

	// granulePages is how many pages osmem backs at least. A heap begins and grows in
	// these, so that no OS page is its own only in part.
	granulePages = osmem.Granule >> pageShift

	// firstPage is the lowest page that is used. Number 0 stands for none in
	// the lists of spans.
	firstPage = granulePages

	// bitmapBytes is the room for the bits of one page's objects, in bytes.
	bitmapBytes = PageSize / 8 / 8
)

// A batch fits every magazine, and the bits of a span fit its pages.
const (
	_ uint    = 1024 - maxBatch
	_ uintptr = 32 - unsafe.Sizeof(span{})
	_ uintptr = unsafe.Sizeof(span{}) - 32
)
