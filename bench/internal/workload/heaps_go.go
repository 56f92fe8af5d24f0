package workload

import (
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/bytedance/gopkg/lang/mcache"
	"github.com/dgraph-io/ristretto/v2/z"
	"google.golang.org/grpc/mem"
)

// arrowHeap is an allocator of Apache Arrow's: every block starts at a multiple
// of 64 bytes, and those of the Go heap are cleared.
type arrowHeap struct{ allocator *memory.GoAllocator }

func (h arrowHeap) alloc(n int) []byte             { return h.allocator.Allocate(n) }
func (h arrowHeap) free(b []byte)                  { h.allocator.Free(b) }
func (h arrowHeap) zalloc(n int) []byte            { return h.allocator.Allocate(n) }
func (h arrowHeap) realloc(b []byte, n int) []byte { return h.allocator.Reallocate(n, b) }

// mcacheHeap is bytedance's mcache, a sync.Pool for each power of two. It takes
// a block back by its capacity, so what is handed on must keep that.
type mcacheHeap struct{}

func (mcacheHeap) alloc(n int) []byte { return mcache.Malloc(n) }
func (mcacheHeap) free(b []byte)      { mcache.Free(b) }

func (mcacheHeap) zalloc(n int) []byte {
	b := mcache.Malloc(n)
	clear(b)
	return b
}

func (mcacheHeap) realloc(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	to := moved(mcache.Malloc(n), b)
	mcache.Free(b)
	return to
}

// ristrettoHeap is ristretto's z, which without jemalloc and cgo is the Go heap.
type ristrettoHeap struct{}

func (ristrettoHeap) alloc(n int) []byte  { return z.Calloc(n, "bench") }
func (ristrettoHeap) free(b []byte)       { z.Free(b) }
func (ristrettoHeap) zalloc(n int) []byte { return z.Calloc(n, "bench") }

func (ristrettoHeap) realloc(b []byte, n int) []byte {
	to := moved(z.Calloc(n, "bench"), b)
	z.Free(b)
	return to
}

// arenaHeap is ristretto's bump allocator.
type arenaHeap struct{ arena *z.Allocator }

func (h arenaHeap) alloc(n int) []byte { return h.arena.Allocate(n) }
func (arenaHeap) free([]byte)          {}
func (h arenaHeap) drop()              { h.arena.Reset() }

// grpcHeap is gRPC's pool of buffers. What is handed out and taken back is the
// address of a slice; to make a new one for each Put would be an allocation
// that its users do not have. So the heap remembers it, and serves shapes that
// have one block at a time.
type grpcHeap struct{ held *grpcHeld }

type grpcHeld struct {
	pool   mem.BufferPool
	buffer *[]byte
}

func (h grpcHeap) alloc(n int) []byte {
	h.held.buffer = h.held.pool.Get(n)
	return *h.held.buffer
}

func (h grpcHeap) free([]byte) { h.held.pool.Put(h.held.buffer) }

func openArrow(Shape) (opened, error) {
	return opened{arrowHeap{memory.NewGoAllocator()}, nothing}, nil
}

func openMcache(Shape) (opened, error) { return opened{mcacheHeap{}, nothing}, nil }

func openRistretto(Shape) (opened, error) { return opened{ristrettoHeap{}, nothing}, nil }

func openArena(Shape) (opened, error) {
	const first = 1 << 20 // bytes of the first chunk
	arena := z.NewAllocator(first, "bench")
	return opened{arenaHeap{arena}, func(bool) error {
		arena.Release()
		return nil
	}}, nil
}

func openGRPC(Shape) (opened, error) {
	return opened{grpcHeap{&grpcHeld{pool: mem.DefaultBufferPool()}}, nothing}, nil
}
