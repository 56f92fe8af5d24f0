//go:build benchcgo

package workload

// #include <stdlib.h>
// #cgo noescape free
// #cgo nocallback free
// #cgo noescape calloc
// #cgo nocallback calloc
// #cgo noescape realloc
// #cgo nocallback realloc
import "C"

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/memory/mallocator"
)

// cgoHeap is the C library's malloc, called through cgo.
type cgoHeap struct{}

func (cgoHeap) alloc(n int) []byte  { return unsafe.Slice((*byte)(C.malloc(C.size_t(n))), n) }
func (cgoHeap) free(b []byte)       { C.free(unsafe.Pointer(unsafe.SliceData(b))) }
func (cgoHeap) zalloc(n int) []byte { return unsafe.Slice((*byte)(C.calloc(1, C.size_t(n))), n) }

func (cgoHeap) realloc(b []byte, n int) []byte {
	return unsafe.Slice((*byte)(C.realloc(unsafe.Pointer(unsafe.SliceData(b)), C.size_t(n))), n)
}

// mallocatorHeap is Arrow's allocator on the C library's, through cgo.
type mallocatorHeap struct{ allocator *mallocator.Mallocator }

func (h mallocatorHeap) alloc(n int) []byte             { return h.allocator.Allocate(n) }
func (h mallocatorHeap) free(b []byte)                  { h.allocator.Free(b) }
func (h mallocatorHeap) zalloc(n int) []byte            { return h.allocator.Allocate(n) }
func (h mallocatorHeap) realloc(b []byte, n int) []byte { return h.allocator.Reallocate(n, b) }

func init() {
	cgoPeers = []Peer{
		{Name: "cgo", offHeap: true, About: "malloc and free of the C library through cgo",
			open: func(Shape) (opened, error) { return opened{cgoHeap{}, nothing}, nil }},
		{Name: "arrow-c", offHeap: true, About: "Apache Arrow's allocator on malloc, through cgo; contents cleared",
			open: func(Shape) (opened, error) {
				return opened{mallocatorHeap{mallocator.NewMallocator()}, nothing}, nil
			}},
	}
}
