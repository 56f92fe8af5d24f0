package workload

import (
	"errors"
	"slices"
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
	"modernc.org/memory"
)

// vcpuHeap is this project's allocator, contents undefined as with every other
// heap here but makeHeap.
type vcpuHeap struct{ allocator *alloc.Allocator }

func (h vcpuHeap) alloc(n int) []byte {
	b, err := h.allocator.AllocUninit(n)
	if err != nil {
		panic(err)
	}
	return b
}

func (h vcpuHeap) free(b []byte) { h.allocator.Free(b) }

func (h vcpuHeap) arenas() int64 { return h.allocator.Stats().Arenas }

func (h vcpuHeap) zalloc(n int) []byte {
	b, err := h.allocator.Alloc(n)
	if err != nil {
		panic(err)
	}
	return b
}

func (h vcpuHeap) realloc(b []byte, n int) []byte {
	b, err := h.allocator.ReallocUninit(b, n)
	if err != nil {
		panic(err)
	}
	return b
}

func (h vcpuHeap) allocMany(blocks [][]byte, n int) {
	if _, err := h.allocator.AllocBatchUninit(blocks, n); err != nil {
		panic(err)
	}
}

func (h vcpuHeap) freeMany(blocks [][]byte) { h.allocator.FreeBatch(blocks) }

func (h vcpuHeap) tryAlloc(n int) []byte {
	b, err := h.allocator.AllocUninit(n)
	if err != nil && !errors.Is(err, alloc.ErrLimit) {
		panic(err)
	}
	return b
}

// zeroedHeap is this project's allocator with the contents cleared.
type zeroedHeap struct{ allocator *alloc.Allocator }

func (h zeroedHeap) alloc(n int) []byte {
	b, err := h.allocator.Alloc(n)
	if err != nil {
		panic(err)
	}
	return b
}

func (h zeroedHeap) free(b []byte) { h.allocator.Free(b) }

func (h zeroedHeap) zalloc(n int) []byte            { return h.alloc(n) }
func (h zeroedHeap) realloc(b []byte, n int) []byte { return vcpuHeap(h).realloc(b, n) }

// makeHeap is the Go heap: make, and nothing to free.
type makeHeap struct{}

// Not inlined, so that no block can be moved to the stack: what is returned
// from a call that the compiler does not look into is a heap allocation.
//
//go:noinline
func (makeHeap) alloc(n int) []byte { return make([]byte, n) }

func (makeHeap) free([]byte) {}

//go:noinline
func (makeHeap) zalloc(n int) []byte { return make([]byte, n) }

//go:noinline
func (makeHeap) realloc(b []byte, n int) []byte { return slices.Grow(b, n-len(b))[:n] }

// moved copies what a block held into a longer one, and returns that.
func moved(to, from []byte) []byte {
	copy(to, from)
	return to
}

// poolHeap is a sync.Pool for each size class.
type poolHeap struct{ pools *classPools }

func (h poolHeap) alloc(n int) []byte { return h.pools.get(n) }

func (h poolHeap) free(b []byte) { h.pools.put(b) }

func (h poolHeap) zalloc(n int) []byte {
	b := h.pools.get(n)
	clear(b)
	return b
}

func (h poolHeap) realloc(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	to := moved(h.pools.get(n), b)
	h.pools.put(b)
	return to
}

// moderncHeap is modernc.org/memory behind a mutex, without which it serves
// one goroutine only.
type moderncHeap struct{ locked *lockedModernc }

type lockedModernc struct {
	mutex     sync.Mutex
	allocator memory.Allocator // guarded by mutex
}

func (h moderncHeap) alloc(n int) []byte {
	h.locked.mutex.Lock()
	b, err := h.locked.allocator.Malloc(n)
	h.locked.mutex.Unlock()
	if err != nil {
		panic(err)
	}
	return b
}

func (h moderncHeap) free(b []byte) {
	h.locked.mutex.Lock()
	err := h.locked.allocator.Free(b)
	h.locked.mutex.Unlock()
	if err != nil {
		panic(err)
	}
}

func (h moderncHeap) zalloc(n int) []byte {
	h.locked.mutex.Lock()
	b, err := h.locked.allocator.Calloc(n)
	h.locked.mutex.Unlock()
	if err != nil {
		panic(err)
	}
	return b
}

func (h moderncHeap) realloc(b []byte, n int) []byte {
	h.locked.mutex.Lock()
	b, err := h.locked.allocator.Realloc(b, n)
	h.locked.mutex.Unlock()
	if err != nil {
		panic(err)
	}
	return b
}

const (
	emptyRooms = 64
	roomShift  = 18 // of maxBlock
	// Goroutine stacks are at least 2 KiB.
	stackShift = 11
)

// emptyHeap hands out the same bytes again and again. In a loop each goroutine
// has a room of its own, as far as the address of its stack tells goroutines
// apart: with one for all, the figure would be that of a contended cache line. A
// block larger than a room lies in the next ones too.
type emptyHeap struct {
	house *emptyHouse
	room  uintptr // offset
}

type emptyHouse [emptyRooms<<roomShift + largestBlock]byte

func (h emptyHeap) enter() emptyHeap {
	var here byte
	h.room = uintptr(unsafe.Pointer(&here)) << (roomShift - stackShift) & ((emptyRooms - 1) << roomShift)
	return h
}

func (h emptyHeap) alloc(n int) []byte {
	return (*[largestBlock]byte)(unsafe.Add(unsafe.Pointer(h.house), h.room))[:n]
}

func (emptyHeap) free([]byte) {}

func (h emptyHeap) zalloc(n int) []byte { return h.alloc(n) }

func (emptyHeap) realloc(b []byte, n int) []byte { return unsafe.Slice(unsafe.SliceData(b), n) }

func (h emptyHeap) allocMany(blocks [][]byte, n int) {
	for i := range blocks {
		blocks[i] = h.alloc(n)
	}
}

func (emptyHeap) freeMany([][]byte) {}

func (emptyHeap) drop() {}

func (h emptyHeap) tryAlloc(n int) []byte { return h.alloc(n) }
