package alloc

import (
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// Free gives a block back. b may be any slice that starts where the block
// starts; its length and capacity may have been cut. nil and empty slices of no
// block are ignored.
//
// A pointer into the middle of a block, a pointer that is not this
// allocator's, and a double free panic with *MisuseError. Double frees are
// always seen of blocks above 256 KiB, and for smaller ones right after the
// first free, on the same vCPU; others are found, if ever, when the block is
// back in its span.
func (a *Allocator) Free(b []byte) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if class := a.heap.ClassAt(p); class != 0 && a.heap.TryFree(class, p) == rseqcs.Pushed {
		return
	}
	a.freeSlow(b)
}

// FreeBatch frees every slice of bs, as Free does.
func (a *Allocator) FreeBatch(bs [][]byte) {
	for _, b := range bs {
		a.Free(b)
	}
}

func (a *Allocator) freeSlow(b []byte) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	class := a.heap.ClassAt(p)
	switch {
	case class != 0:
		if twice := a.heap.Free(class, p); twice != nil {
			panic(&MisuseError{
				Op:     "Free",
				Addr:   uintptr(twice),
				Size:   arena.ClassSize(class),
				Reason: "double free",
			})
		}
	case a.heap.FreeLarge(p), isEmptyBlock(b):
	default:
		panic(a.misuse("Free", p))
	}
}

// isEmptyBlock reports whether b is nil, or empty and of no block.
func isEmptyBlock(b []byte) bool {
	return b == nil || cap(b) == 0
}

// misuse describes a call with an address at which no block in use starts.
func (a *Allocator) misuse(op string, p unsafe.Pointer) *MisuseError {
	if a.closed {
		return &MisuseError{Op: op, Addr: uintptr(p), Reason: "the allocator is closed"}
	}
	what, class := a.heap.Describe(p)
	return &MisuseError{Op: op, Addr: uintptr(p), Size: arena.ClassSize(class), Reason: what}
}
