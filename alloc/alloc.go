package alloc

import (
	"context"
	"fmt"
	"math/bits"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// emptyBlock is where all empty slices point to.
var emptyBlock [2]uint64

// blockOf makes the slice of a block, n <= size. unsafe.Slice would check both
// numbers once more.
func blockOf(p unsafe.Pointer, n, size int) []byte {
	return *(*[]byte)(unsafe.Pointer(&struct {
		data          unsafe.Pointer
		length, limit int
	}{p, n, size}))
}

// Alloc returns n zero bytes. The capacity is the whole block (see GoodSize),
// and zero too. n = 0 gives an empty slice that is not nil; n < 0 panics as make
// does. The memory is the caller's until Free.
//
// The error wraps ErrLimit, ErrNoMemory, ErrTooLarge or ErrClosed.
func (a *Allocator) Alloc(n int) ([]byte, error) { return a.heap.Blocks.AllocZeroed(&a.heap.Blocks, n) }

// AllocUninit is Alloc without the clearing: the bytes are what the last owner
// of the memory, or of other memory of this allocator, left there.
func (a *Allocator) AllocUninit(n int) ([]byte, error) { return a.heap.Blocks.Alloc(&a.heap.Blocks, n) }

// AllocAligned is Alloc with an address that is a multiple of align, a power of
// two; it panics for any other align. Alloc itself aligns a block whose size is
// a power of two to that size, up to 8 KiB, and every block to 8 bytes.
func (a *Allocator) AllocAligned(n, align int) ([]byte, error) {
	if align <= 0 || bits.OnesCount(uint(align)) != 1 {
		panic(&MisuseError{Op: "AllocAligned", Reason: fmt.Sprintf("an alignment of %d, not a power of two", align)})
	}
	if align <= arena.PageSize && uint(n) <= arena.MaxSmall {
		// In a span every address is the start, which is aligned to a page, and a
		// multiple of the size of the class.
		for class := arena.ClassOf(max(n, 1)); int(class) < arena.ClassCount; class++ {
			if size := arena.ClassSize(class); size&(align-1) == 0 {
				b, err := a.Alloc(size)
				return b[:min(n, len(b))], err
			}
		}
	}
	if n == 0 {
		n = 1 // an empty block at a large alignment is a block all the same
		b, err := a.allocLarge(n, align, true)
		return b[:0], err
	}
	return a.allocLarge(n, align, true)
}

// allocSlow serves what the magazine could not, and everything unusual.
func (a *Allocator) allocSlow(n int, zeroed bool) ([]byte, error) {
	switch {
	case n < 0:
		return make([]byte, n), nil // panics
	case a.closed:
		return nil, a.errClosed()
	case n == 0:
		return unsafe.Slice((*byte)(unsafe.Pointer(&emptyBlock)), 0), nil
	case n > arena.MaxSmall:
		return a.allocLarge(n, 1, zeroed)
	}
	class := arena.ClassOf(n)
	p, err := a.heap.Alloc(class)
	if err != nil && a.askForRoom(err) {
		p, err = a.heap.Alloc(class)
	}
	if err != nil {
		return nil, a.failed(fmt.Sprintf("%d bytes", n), a.heap.Explain(err))
	}
	b := blockOf(p, n, arena.ClassSize(class))
	if zeroed {
		clear(b[:cap(b)])
	}
	return b, nil
}

func (a *Allocator) allocLarge(n, align int, zeroed bool) ([]byte, error) {
	switch {
	case n < 0:
		return make([]byte, n), nil // panics
	case a.closed:
		return nil, a.errClosed()
	}
	p, dirty, err := a.heap.AllocLarge(n, align)
	if err != nil && a.askForRoom(err) {
		p, dirty, err = a.heap.AllocLarge(n, align)
	}
	if err != nil {
		return nil, a.failed(fmt.Sprintf("%d bytes", n), a.heap.Explain(err))
	}
	b := blockOf(p, n, arena.PagesFor(n)*arena.PageSize)
	if zeroed && dirty {
		a.heap.ZeroLarge(p, 0, cap(b))
	}
	return b, nil
}

// GoodSize returns the capacity of a block of n bytes, n >= 0: what n is
// rounded up to. An n near the largest int, which no block can have, is returned as it is.
func GoodSize(n int) int {
	if n > maxInt-arena.PageSize {
		return n
	}
	if uint(n) <= arena.MaxSmall {
		return arena.ClassSize(arena.ClassOf(n))
	}
	return arena.PagesFor(n) * arena.PageSize
}

// UsableSize returns the bytes of the block that starts where b starts, which
// is what its capacity was at first; 0 where no block of this allocator does.
func (a *Allocator) UsableSize(b []byte) int {
	return a.heap.UsableSize(unsafe.Pointer(unsafe.SliceData(b)))
}

// Owns reports whether b lies in memory of this allocator, in use or not.
func (a *Allocator) Owns(b []byte) bool {
	return a.heap.Owns(unsafe.Pointer(unsafe.SliceData(b)))
}

// Trim returns free memory to the system now, and says how many bytes. It
// empties the caches of all vCPUs first, and waits for what is being returned
// meanwhile. When ctx is done it stops between two pieces, with the error of
// ctx. What the system refuses to take stays for the next call, and is the error
// when the rest is done.
func (a *Allocator) Trim(ctx context.Context) (released int64, err error) {
	if a.closed {
		return 0, a.errClosed()
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	released, err = a.heap.Trim(func() bool { return ctx.Err() == nil })
	if ctx.Err() != nil {
		return released, ctx.Err()
	}
	if err != nil {
		err = a.failed("", err)
	}
	return released, err
}
