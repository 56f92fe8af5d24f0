package alloc

import (
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// batchMax is how many blocks one section moves at the most.
const batchMax = 64

// AllocBatch fills dst with blocks as of Alloc(n) and returns how many it could
// get; the error says why not all. Up to 64 small blocks are taken as one section.
func (a *Allocator) AllocBatch(dst [][]byte, n int) (int, error) {
	return a.allocBatch(dst, n, true)
}

// AllocBatchUninit is AllocBatch with blocks as of AllocUninit(n).
func (a *Allocator) AllocBatchUninit(dst [][]byte, n int) (int, error) {
	return a.allocBatch(dst, n, false)
}

func (a *Allocator) allocBatch(dst [][]byte, n int, zeroed bool) (filled int, err error) {
	if a.closed && n >= 0 {
		return 0, a.errClosed()
	}
	class := arena.ClassOf(n)
	size := arena.ClassSize(class)
	var objects [batchMax]unsafe.Pointer
	for filled < len(dst) {
		count := 0
		if class != 0 {
			count = a.heap.Magazines.PopBatch(int(class), objects[:min(batchMax, len(dst)-filled)])
		}
		for _, p := range objects[:count] {
			b := blockOf(p, n, size)
			if zeroed {
				clearBlock(p, size)
			}
			dst[filled] = b
			filled++
		}
		if count == 0 { // all that is out of the ordinary, and a refill of the magazine
			b, err := a.allocSlow(n, zeroed)
			if err != nil {
				return filled, err
			}
			dst[filled] = b
			filled++
		}
	}
	return filled, nil
}

// clearBlock clears a block of a class, whose size is a multiple of 8. For a small
// one the compiler's call to clear takes longer than the stores.
func clearBlock(p unsafe.Pointer, size int) {
	const line = 64
	if size > 8*line {
		clear(blockOf(p, size, size))
		return
	}
	for ; size >= line; size -= line {
		*(*[line]byte)(p) = [line]byte{}
		p = unsafe.Add(p, line)
	}
	for ; size > 0; size -= 8 {
		*(*uint64)(p) = 0
		p = unsafe.Add(p, 8)
	}
}

// FreeBatch frees every slice of bs, as Free does. Up to 64 small blocks of the
// same size, one behind the other, are given back as one section.
//
// If two slices of bs start at the same block, FreeBatch panics with *MisuseError and
// frees none of them; with any other misuse it panics when it comes to it: what is
// before that slice in bs is freed, what is behind it is not. Where it finds that an
// earlier call has freed a block twice, the slice that the message names as being freed
// is the last one that was.
func (a *Allocator) FreeBatch(bs [][]byte) {
	a.refuseDuplicates(bs)
	var objects [batchMax]unsafe.Pointer
	for len(bs) > 0 {
		// Free looks at the newest object of the magazine, a batch does not.
		first := bs[0]
		a.Free(first)
		bs = bs[1:]
		class := arena.ClassOf(cap(first))
		if count := a.heap.Blocks.Gather(class, bs, objects[:]); count > 0 {
			bs = bs[a.heap.Magazines.PushBatch(int(class), objects[:count]):]
		}
	}
}
