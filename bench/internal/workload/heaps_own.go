package workload

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// The caches of this project have a type of object, so there is a heap for each
// length of blocks that shapes of one length have.
type (
	cacheHeap16   struct{ cache *alloc.Cache[[16]byte] }
	cacheHeap64   struct{ cache *alloc.Cache[[64]byte] }
	cacheHeap1K   struct{ cache *alloc.Cache[[1 << 10]byte] }
	cacheHeap4K   struct{ cache *alloc.Cache[[4 << 10]byte] }
	cacheHeap32K  struct{ cache *alloc.Cache[[32 << 10]byte] }
	cacheHeap256K struct{ cache *alloc.Cache[[256 << 10]byte] }
)

func (h cacheHeap16) alloc(int) []byte   { return bytesOf(h.cache.Get()) }
func (h cacheHeap16) free(b []byte)      { h.cache.Put((*[16]byte)(b)) }
func (h cacheHeap64) alloc(int) []byte   { return bytesOf(h.cache.Get()) }
func (h cacheHeap64) free(b []byte)      { h.cache.Put((*[64]byte)(b)) }
func (h cacheHeap1K) alloc(int) []byte   { return bytesOf(h.cache.Get()) }
func (h cacheHeap1K) free(b []byte)      { h.cache.Put((*[1 << 10]byte)(b)) }
func (h cacheHeap4K) alloc(int) []byte   { return bytesOf(h.cache.Get()) }
func (h cacheHeap4K) free(b []byte)      { h.cache.Put((*[4 << 10]byte)(b)) }
func (h cacheHeap32K) alloc(int) []byte  { return bytesOf(h.cache.Get()) }
func (h cacheHeap32K) free(b []byte)     { h.cache.Put((*[32 << 10]byte)(b)) }
func (h cacheHeap256K) alloc(int) []byte { return bytesOf(h.cache.Get()) }
func (h cacheHeap256K) free(b []byte)    { h.cache.Put((*[256 << 10]byte)(b)) }

// bytesOf is an object as a block of all its bytes.
func bytesOf[T any](object *T, err error) []byte {
	if err != nil {
		panic(err)
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(object)), unsafe.Sizeof(*object))
}

func openCache(shape Shape) (opened, error) {
	switch shape.Block {
	case 16:
		return openCacheOf(func(c *alloc.Cache[[16]byte]) loops { return cacheHeap16{c} })
	case 64:
		return openCacheOf(func(c *alloc.Cache[[64]byte]) loops { return cacheHeap64{c} })
	case 1 << 10:
		return openCacheOf(func(c *alloc.Cache[[1 << 10]byte]) loops { return cacheHeap1K{c} })
	case 4 << 10:
		return openCacheOf(func(c *alloc.Cache[[4 << 10]byte]) loops { return cacheHeap4K{c} })
	case 32 << 10:
		return openCacheOf(func(c *alloc.Cache[[32 << 10]byte]) loops { return cacheHeap32K{c} })
	case 256 << 10:
		return openCacheOf(func(c *alloc.Cache[[256 << 10]byte]) loops { return cacheHeap256K{c} })
	}
	return opened{}, fmt.Errorf("there is no cache of objects of %d bytes", shape.Block)
}

func openCacheOf[T any](heapOf func(*alloc.Cache[T]) loops) (opened, error) {
	allocator, err := alloc.New(alloc.Options{Name: "bench"})
	if err != nil {
		return opened{}, err
	}
	cache, err := alloc.NewCache(allocator, alloc.CacheOptions[T]{})
	if err != nil {
		return opened{}, err
	}
	return opened{heapOf(cache), func(leaks bool) error { return errors.Join(cache.Close(), closer(allocator)(leaks)) }}, nil
}

// regionHeap is a region of this project; its blocks are cleared.
type regionHeap struct{ region *alloc.Region }

func (h regionHeap) alloc(n int) []byte {
	b, err := h.region.Bytes(n)
	if err != nil {
		panic(err)
	}
	return b
}

func (regionHeap) free([]byte) {}

func (h regionHeap) drop() { h.region.Reset() }

func openRegion(Shape) (opened, error) {
	allocator, err := alloc.New(alloc.Options{Name: "bench"})
	if err != nil {
		return opened{}, err
	}
	region := alloc.NewRegion(allocator, alloc.RegionOptions{})
	return opened{regionHeap{region}, func(leaks bool) error {
		region.Release()
		return closer(allocator)(leaks)
	}}, nil
}
