package alloc

import (
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// growingFrom is from which size on a block that Realloc has to move becomes a run
// of pages with free ones behind it, in bytes, so that it need not be moved again.
// Below, copying costs less than the page heap's lock.
const growingFrom = 16 << 10

// Realloc changes the length of a block to n and returns it: at the same address
// if it fits there and more than half of the block is not left unused, if the
// pages behind a large one are free, or if nothing else can be had. The first
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
	usable := a.UsableSize(b)
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
	if n > arena.PageSize && a.heap.IsLarge(p) {
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
	moved, err := a.newPlace(n, usable)
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

// newPlace returns a block for n bytes of a block that has usable ones.
func (a *Allocator) newPlace(n, usable int) ([]byte, error) {
	if n > usable && n > growingFrom {
		// Without room for so many pages there may be some for a block of a class.
		if p, _, err := a.heap.AllocGrowing(n); err == nil {
			return blockOf(p, n, arena.PagesFor(n)*arena.PageSize), nil
		}
	}
	return a.AllocUninit(n)
}

// inPlace returns the block of b with another length, cleared behind its old end.
func inPlace(b []byte, n, usable int, zeroed bool) []byte {
	resized := blockOf(unsafe.Pointer(unsafe.SliceData(b)), n, usable)
	if zeroed && n > len(b) {
		clear(resized[len(b):])
	}
	return resized
}
