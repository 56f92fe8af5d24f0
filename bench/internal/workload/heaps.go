package workload

import (
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

// makeHeap is the Go heap: make, and nothing to free.
type makeHeap struct{}

// Not inlined, so that no block can be moved to the stack: what is returned
// from a call that the compiler does not look into is a heap allocation.
//
//go:noinline
func (makeHeap) alloc(n int) []byte { return make([]byte, n) }

func (makeHeap) free([]byte) {}

// poolHeap is a sync.Pool for each size class.
type poolHeap struct{ pools *classPools }

func (h poolHeap) alloc(n int) []byte { return h.pools.get(n) }

func (h poolHeap) free(b []byte) { h.pools.put(b) }

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

const (
	emptyRooms    = 64
	emptyRoomSize = maxBlock
	// Goroutine stacks are at least 2 KiB.
	stackShift = 11
)

// emptyHeap hands out the same bytes again and again. Each goroutine gets a
// room of its own, as far as the address of its stack tells goroutines apart:
// with one for all, the figure would be that of a contended cache line.
type emptyHeap struct {
	rooms *[emptyRooms][emptyRoomSize]byte
}

func (h emptyHeap) alloc(n int) []byte {
	var here byte
	room := uintptr(unsafe.Pointer(&here)) >> stackShift % emptyRooms
	return h.rooms[room][:n]
}

func (emptyHeap) free([]byte) {}
