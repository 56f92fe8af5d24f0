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
// allocator's, and a double free panic with *MisuseError. A double free is detected
//
//   - of a block above 256 KiB, as long as no other block has its address,
//   - of a smaller one, right after the first free on the same vCPU, and as long as all
//     blocks around it are free, too, and their memory has gone back,
//   - if the capacity of b is more than that of the block that has the address by then.
//
// Otherwise b has two owners: Free cannot tell it from the block that has its address.
// A double free that is not detected may be found when its block comes back to its
// span. If a Free does that, it panics about the block that was freed twice, by an
// earlier call, and says so: its own block is free. What allocations, Trim and the
// background goroutine find is counted (Stats.DoubleFrees).
func (a *Allocator) Free(b []byte) { a.heap.Blocks.Free(&a.heap.Blocks, b) }

// freeSlow frees a slice with a capacity that was cut or is above MaxSmall, one
// that the magazine has no room for, and finds out about misuse.
func (a *Allocator) freeSlow(b []byte) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	class := a.heap.ClassAt(p)
	switch {
	case class != 0:
		if cap(b) > arena.ClassSize(class) {
			panic(a.stale("Free", b))
		}
		switch duplicate := a.heap.Free(class, p); duplicate {
		case nil:
		case p:
			panic(&MisuseError{Op: "Free", Addr: uintptr(p), Size: arena.ClassSize(class), Reason: "double free"})
		default:
			panic(&MisuseError{
				Op:     "Free",
				Addr:   uintptr(duplicate),
				Size:   arena.ClassSize(class),
				Reason: fmt.Sprintf("double free by an earlier call, detected while freeing %p (that free succeeded)", p),
			})
		}
	case a.heap.IsLarge(p) && cap(b) > a.heap.UsableSize(p):
		panic(a.stale("Free", b))
	case a.heap.FreeLarge(p), isEmpty(b):
	default:
		panic(a.misuse("Free", p))
	}
}

// stale describes a call with a slice that is longer than the block that starts there.
func (a *Allocator) stale(op string, b []byte) *MisuseError {
	p := unsafe.Pointer(unsafe.SliceData(b))
	usable := a.heap.UsableSize(p)
	return &MisuseError{
		Op: op, Addr: uintptr(p), Size: usable,
		Reason: fmt.Sprintf("a slice with a capacity of %d bytes, where a block of %d is: freed or moved before, and its memory is in use again", cap(b), usable),
	}
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
		reason := "memory of the allocator " + owner.name + ", not of " + a.name
		if owner.name == a.name {
			reason = "memory of another allocator with the name " + a.name
		}
		return &MisuseError{Op: op, Addr: uintptr(p), Reason: reason}
	}
	what, class := a.heap.Describe(p)
	return &MisuseError{Op: op, Addr: uintptr(p), Size: arena.ClassSize(class), Reason: what}
}
