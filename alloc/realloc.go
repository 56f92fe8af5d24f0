package alloc

import (
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// growingFrom is from which size on a block that Realloc has to move becomes a run
// of pages with free ones behind it, in bytes, so that it need not be moved again.
// Below, copying costs less than the page heap's lock.
const growingFrom = 16 << 10

// growthRoom is how many times the request a block gets, up to growingFrom, when it has
// to move because it grows and has done so before: see docs/decisions/growth-room.md.
const growthRoom = 4

// Realloc changes the length of a block to n and returns it: at the same address
// if it fits there and more than half of the block is not left unused, if the
// pages behind a large one are free, or if nothing else can be had. A block that has
// to move because it grows, and not for the first time, gets a capacity of up to four
// times n, but not beyond 16 KiB, unless a limit counts; it grows on in that. The first
// min(len(b), n) bytes stay, the others are zero. b is not to be used afterwards,
// unless there is an error: then it is as before. A b that Free ignores, such as nil,
// is Alloc; n = 0 frees b.
func (a *Allocator) Realloc(b []byte, n int) ([]byte, error) { return a.realloc("Realloc", b, n, true) }

// ReallocUninit is Realloc without the clearing: the bytes behind the first
// min(len(b), n) are undefined, as those of AllocUninit are.
func (a *Allocator) ReallocUninit(b []byte, n int) ([]byte, error) {
	return a.realloc("ReallocUninit", b, n, false)
}

func (a *Allocator) realloc(op string, b []byte, n int, zeroed bool) ([]byte, error) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	class := arena.ClassOf(cap(b))
	usable := arena.ClassSize(class)
	if !a.heap.Blocks.Starts(class, p) {
		class, usable = 0, a.UsableSize(b) // the capacity is not that of a class, or was cut
	}
	switch {
	case usable == 0 && n >= 0 && !a.closed && !isEmpty(b):
		panic(a.misuse(op, p))
	case usable == 0 && zeroed:
		return a.Alloc(n)
	case usable == 0:
		return a.AllocUninit(n)
	case cap(b) > usable:
		panic(a.stale(op, b))
	}
	if n > 0 && n <= usable && (n >= usable/2 || GoodSize(n) == usable) {
		return inPlace(b, n, usable, zeroed), nil
	}
	if n > len(b) && n <= usable && class != 0 && a.grown.has(p) {
		return inPlace(b, n, usable, zeroed), nil // there is room for that
	}
	if n > arena.PageSize && class == 0 && a.heap.IsLarge(p) {
		if n < usable {
			a.heap.ShrinkLarge(p, n)
			return inPlace(b, n, arena.PagesFor(n)*arena.PageSize, zeroed), nil
		}
		if dirty, ok := a.heap.ExtendLarge(p, n); ok {
			if inPlace(b, usable, usable, zeroed); zeroed && dirty {
				a.heap.ZeroLarge(p, usable, n)
			}
			return blockOf(p, n, arena.PagesFor(n)*arena.PageSize), nil
		}
	}
	moved, err := a.newPlace(p, n, usable)
	switch {
	case err != nil && n <= usable:
		return inPlace(b, n, usable, zeroed), nil
	case err != nil:
		return nil, err
	}
	copied := copy(moved, b)
	switch q := unsafe.Pointer(unsafe.SliceData(moved)); {
	case zeroed && a.heap.IsLarge(q):
		a.heap.ZeroLarge(q, copied, n)
	case zeroed:
		clear(moved[copied:])
	}
	a.freeMoved(op, b, moved)
	return moved, nil
}

// freeMoved frees b, which was copied to moved. If b was free already, it frees moved
// instead, and panics. That an earlier call has freed another block twice is only counted:
// the caller keeps its data.
func (a *Allocator) freeMoved(op string, b, moved []byte) {
	defer func() {
		switch misuse := recover().(type) {
		case nil:
		case *MisuseError:
			if misuse.Addr != uintptr(unsafe.Pointer(unsafe.SliceData(b))) {
				return
			}
			a.Free(moved)
			misuse.Op = op
			panic(misuse)
		default:
			panic(misuse)
		}
	}()
	a.Free(b)
}

// newPlace returns a block for n bytes of the block at p, which has usable ones.
func (a *Allocator) newPlace(p unsafe.Pointer, n, usable int) ([]byte, error) {
	switch {
	case n <= usable:
	case n > growingFrom:
		// Without room for so many pages there may be some for a block of a class.
		if p, _, err := a.heap.AllocGrowing(n); err == nil {
			return blockOf(p, n, arena.PagesFor(n)*arena.PageSize), nil
		}
	default:
		return a.growthPlace(p, n)
	}
	return a.AllocUninit(n)
}

// growthPlace is newPlace for a block that grows to at most growingFrom bytes.
func (a *Allocator) growthPlace(p unsafe.Pointer, n int) (moved []byte, err error) {
	size := n
	if a.grown.take(p) && a.budget.Limit() == 0 {
		size = min(growthRoom*n, growingFrom)
	}
	if moved, err = a.AllocUninit(size); err != nil && size > n {
		moved, err = a.AllocUninit(n)
	}
	if err != nil {
		return nil, err
	}
	a.grown.add(unsafe.Pointer(unsafe.SliceData(moved)))
	return moved[:n], nil
}

// grownBlocks remembers blocks that Realloc has moved because they grew, as far as it has
// room: each at the index that its address gives, where a younger one replaces it. A
// block that was freed may stand here, and its address be another's by then, which
// costs that one the room that it did not need.
type grownBlocks [64]atomic.Uintptr

func (g *grownBlocks) at(p unsafe.Pointer) *atomic.Uintptr {
	return &g[uint64(uintptr(p))*hashFactor>>58]
}

func (g *grownBlocks) has(p unsafe.Pointer) bool { return g.at(p).Load() == uintptr(p) }

func (g *grownBlocks) add(p unsafe.Pointer) { g.at(p).Store(uintptr(p)) }

// take is has, and forgets p.
func (g *grownBlocks) take(p unsafe.Pointer) bool {
	return g.has(p) && g.at(p).CompareAndSwap(uintptr(p), 0)
}

// inPlace returns the block of b with another length, cleared behind its old end.
func inPlace(b []byte, n, usable int, zeroed bool) []byte {
	resized := blockOf(unsafe.Pointer(unsafe.SliceData(b)), n, usable)
	if zeroed && n > len(b) {
		clear(resized[len(b):])
	}
	return resized
}
