package alloc

import (
	"fmt"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// Free gives a block back. b may be any slice that starts where the block
// starts; its length and capacity may have been cut. nil is ignored, and so is every
// slice of length 0 that lies in no allocator's memory. (An empty slice of a block
// frees the block, too, if its capacity is 0: Go lets it point to the start.)
//
// A pointer into the middle of a block, a pointer that is not this
// allocator's, and a double free panic with *MisuseError. Double frees are
// always seen of blocks above 256 KiB, and for smaller ones right after the
// first free, on the same vCPU; others are found, if ever, when the block is
// back in its span.
func (a *Allocator) Free(b []byte) { a.heap.Blocks.Free(&a.heap.Blocks, b) }

// freeSlow frees a slice with a capacity that was cut or is above MaxSmall, one
// that the magazine has no room for, and finds out about misuse.
func (a *Allocator) freeSlow(b []byte) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	class := a.heap.ClassAt(p)
	switch {
	case class != 0:
		switch twice := a.heap.Free(class, p); twice {
		case nil:
		case p:
			a.doubleFree(p)
		default:
			panic(&MisuseError{
				Op:     "Free",
				Addr:   uintptr(twice),
				Size:   arena.ClassSize(class),
				Reason: fmt.Sprintf("double free, by an earlier call, seen when %p was freed, which it is", p),
			})
		}
	case a.heap.FreeLarge(p), isEmpty(b):
	default:
		panic(a.misuse("Free", p))
	}
}

// doubleFree panics about the newest object of a magazine.
func (a *Allocator) doubleFree(p unsafe.Pointer) {
	panic(&MisuseError{Op: "Free", Addr: uintptr(p), Size: arena.ClassSize(a.heap.ClassAt(p)), Reason: "double free"})
}

// isEmpty reports whether b is nil or has length 0 and lies in no allocator's memory.
func isEmpty(b []byte) bool {
	p := unsafe.Pointer(unsafe.SliceData(b))
	return p == nil || p == unsafe.Pointer(&emptyBlock) || len(b) == 0 && ownerOf(p) == nil
}

// misuse describes a call with an address at which no block in use starts.
func (a *Allocator) misuse(op string, p unsafe.Pointer) *MisuseError {
	if a.closed {
		return &MisuseError{Op: op, Addr: uintptr(p), Reason: "the allocator is closed"}
	}
	if owner := ownerOf(p); owner != nil && owner != a {
		return &MisuseError{Op: op, Addr: uintptr(p), Reason: "memory of the allocator " + owner.name + ", not of " + a.name}
	}
	what, class := a.heap.Describe(p)
	return &MisuseError{Op: op, Addr: uintptr(p), Size: arena.ClassSize(class), Reason: what}
}
