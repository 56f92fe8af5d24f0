package alloc

import (
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"runtime"
	"unsafe"
	"weak"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// CacheOptions of NewCache. The zero value is good for most types.
type CacheOptions[T any] struct {
	// Name appears in errors and in /proc/self/maps. Default: the name of T.
	Name string

	// New is the constructor. It is called once for memory that comes from the
	// allocator, which is zero, and not again until the object has gone back
	// there: an object that is Put is to be in the state in which New left it.
	// If it returns an error, Get does, and the memory is freed. It is called by
	// several goroutines at once. Default: none, a new object is zero.
	New func(*T) error

	// Zero makes every Get return zero memory; it excludes New. Default: contents
	// are those at the last Put.
	Zero bool

	// Capacity is how many objects each vCPU keeps for itself. Default: what fits
	// 64 KiB, but at least 8 and at most 256. Limits: 1 to 16384.
	Capacity int

	// Shared is how many objects are kept for all vCPUs together, on their way
	// from one that puts to one that gets. What comes then is freed. Default:
	// four times Capacity. Limits: 1 to 1048576.
	Shared int

	// Align is what the address and the size of every object are a multiple of in
	// bytes, a power of two. With 64, the size of a cache line, no two objects
	// share one; with 128 not even a pair of lines, which amd64 fetches together.
	// Default: 8. Limit: 8192.
	Align int
}

const (
	cacheBytes     = 64 << 10 // of objects for each vCPU, by default
	leastCapacity  = 8
	mostCapacity   = 256
	maxCapacity    = 16 << 10
	maxShared      = 1 << 20
	sharedCapacity = 4 // times Capacity, the default of Shared

	// maxMove is how many objects move between a magazine and the shared list at
	// the most.
	maxMove = 64
)

// Cache is a slab cache of one type, as the kernel's kmem_cache is: objects
// outside of the Go heap that keep their state between Put and Get. All methods
// may be called from any goroutine at any time, and an object may be Put by any.
//
// Each vCPU has a magazine of free objects, and all have a list together. To the
// allocator all objects of the cache are blocks in use, free ones too, until
// they go back to it: at Close, when the list is full, and when the collector finds
// the cache unreachable. At most
//
//	Capacity * vCPUs + Shared
//
// objects are kept. When the allocator has no memory left, Get takes what other
// vCPUs keep before it fails.
//
// A cache that the program drops without Close gives the objects that it keeps back
// when the collector finds it. Objects that the program still has stay good then;
// FreeOf frees them. After Close of the allocator Get returns ErrClosed and Put
// panics with *MisuseError.
type Cache[T any] struct {
	// objects is the fast path, on magazines of the cache's own.
	objects rseqcs.Single
	get     func(*rseqcs.Single) (unsafe.Pointer, error) // objects.Get, or getZeroed with Zero
	size    int                                          // of a block in bytes

	construct func(*T) error
	state     *cacheState
}

// NewCache returns an empty cache. T must not contain Go pointers, else the
// error wraps ErrPointers and names the field; if T has more than 256 KiB it
// wraps ErrTooLarge. A cache takes 256 KiB of address space for each vCPU and
// each P, and memory for what is used of that (Stats.Metadata of the allocator);
// Close gives back the memory, and the collector, when it finds the cache unreachable,
// the addresses. NewCache makes it look when closed ones have 64 MiB of them, or when it
// gets none.
func NewCache[T any](a *Allocator, o CacheOptions[T]) (*Cache[T], error) {
	t := reflect.TypeFor[T]()
	if err := checkPointers((*T)(nil)); err != nil {
		return nil, err
	}
	state := &cacheState{a: a, name: o.Name}
	if state.name == "" {
		state.name = t.String()
	}
	switch {
	case a.closed:
		return nil, state.failed(ErrClosed)
	case o.Zero && o.New != nil:
		return nil, state.failed(errors.New("CacheOptions has both New and Zero"))
	case o.Capacity < 0 || o.Capacity > maxCapacity:
		return nil, state.failed(fmt.Errorf("CacheOptions.Capacity is %d, not in [1, %d]", o.Capacity, maxCapacity))
	case o.Shared < 0 || o.Shared > maxShared:
		return nil, state.failed(fmt.Errorf("CacheOptions.Shared is %d, not in [1, %d]", o.Shared, maxShared))
	case o.Align < 0 || o.Align > arena.PageSize || bits.OnesCount(uint(o.Align)) > 1:
		return nil, state.failed(fmt.Errorf("CacheOptions.Align is %d, not a power of two in [1, %d]", o.Align, arena.PageSize))
	}
	class := classFor(t.Size(), max(o.Align, 1))
	if class == 0 {
		return nil, state.failed(fmt.Errorf("%w: an object of %d bytes, at most %d fit", ErrTooLarge, t.Size(), arena.MaxSmall))
	}
	state.class, state.size = int(class), arena.ClassSize(class)
	capacity := o.Capacity
	if capacity == 0 {
		capacity = min(max(cacheBytes/state.size, leastCapacity), mostCapacity)
	}
	shared := o.Shared
	if shared == 0 {
		shared = sharedCapacity * capacity
	}
	state.move = min(max(capacity/2, 1), maxMove)
	capacities := []rseqcs.Capacity{theClass: {Initial: capacity, Max: capacity}}
	if retired.Load()-retiredKept.Load() >= retiredMost {
		collectRetired()
	}
	stack, err := rseqcs.NewStack(state.name, capacities)
	if err != nil && retired.Load() > 0 {
		collectRetired()
		stack, err = rseqcs.NewStack(state.name, capacities)
	}
	if err != nil {
		return nil, state.failed(fmt.Errorf("%w: %w", ErrNoMemory, err))
	}
	state.magazines, state.shared = stack, make([]unsafe.Pointer, 0, shared)
	c := &Cache[T]{size: state.size, construct: o.New, state: state}
	c.objects.Open(&a.heap.Blocks, stack, class, rseqcs.SlowSingle{
		Get: func(*rseqcs.Single) (unsafe.Pointer, error) { return c.getSlow() },
		Put: func(s *rseqcs.Single, p unsafe.Pointer) {
			state.push(p)
			runtime.KeepAlive(s) // of c, whose cleanup unmaps the magazines
		},
	})
	if c.get = c.objects.Get; o.Zero {
		c.get = c.getZeroed
	}
	state.objects = weak.Make(&c.objects)
	a.caches.add(state)
	runtime.AddCleanup(c, (*cacheState).drop, state)
	return c, nil
}

// classFor returns the smallest class whose objects hold size bytes and have a
// size that is a multiple of align, and so such addresses; 0 if none does.
func classFor(size uintptr, align int) uint8 {
	if size > arena.MaxSmall {
		return 0
	}
	for class := arena.ClassOf(max(int(size), 1)); int(class) < arena.ClassCount; class++ {
		if arena.ClassSize(class)&(align-1) == 0 {
			return class
		}
	}
	return 0
}

// Get returns an object, the newest that was Put on this vCPU if there is one.
// Its contents are those at that Put; see CacheOptions for a new one and Zero.
// The error wraps that of Alloc, that of New, or ErrClosed.
func (c *Cache[T]) Get() (*T, error) {
	p, err := c.get(&c.objects)
	return (*T)(p), err
}

// Put gives an object of this cache back; nil is ignored. After Close it frees
// the object.
//
// A pointer at which no block of this allocator of the cache's size class
// starts, and a Put of the object that was Put last on this vCPU panic with
// *MisuseError. A block of the same size class that did not come from this cache is
// not detected; it joins the cache. Where Put finds that an earlier call has put an
// object twice, it panics about that object once its own work is done, and says so.
func (c *Cache[T]) Put(p *T) { c.objects.Put(&c.objects, unsafe.Pointer(p)) }

// getZeroed is Get of a cache with Zero.
func (c *Cache[T]) getZeroed(s *rseqcs.Single) (unsafe.Pointer, error) {
	p, err := s.Get(s)
	if err == nil {
		clear(unsafe.Slice((*byte)(p), c.size))
	}
	return p, err
}

// getSlow serves what this vCPU's magazine has no object for.
func (c *Cache[T]) getSlow() (unsafe.Pointer, error) {
	// This thread may just not have been registered yet.
	p := c.state.magazines.Pop(theClass)
	if p == nil {
		var err error
		if p, err = c.state.refill(c.build); err != nil {
			runtime.KeepAlive(c)
			return nil, c.state.failed(err)
		}
	}
	runtime.KeepAlive(c) // its cleanup unmaps the magazines
	return p, nil
}

// build makes a new object.
func (c *Cache[T]) build() (unsafe.Pointer, error) {
	a := c.state.a
	b, err := a.Alloc(c.size)
	if err != nil {
		return nil, err
	}
	p := (*T)(unsafe.Pointer(unsafe.SliceData(b)))
	if c.construct != nil {
		built := false
		defer func() {
			if !built { // an error or a panic
				a.Free(b)
			}
		}()
		if err := c.construct(p); err != nil {
			return nil, fmt.Errorf("constructor: %w", err)
		}
		built = true
	}
	c.state.existing.Add(1)
	c.state.built.Add(1)
	return unsafe.Pointer(p), nil
}

// Close gives all objects that the cache keeps back to the allocator. Later Get
// returns ErrClosed. Objects that the program still has stay good, and Put frees
// them. The memory of its magazines goes back to the system at once, their addresses
// (256 KiB for each vCPU and P) when the collector finds the cache unreachable: a call
// that runs meanwhile may still look there. The error wraps ErrClosed for a cache that
// is closed already, as that of a closed allocator is, and is a *MisuseError where an
// earlier call has put an object twice; the cache is closed all the same.
func (c *Cache[T]) Close() error {
	defer runtime.KeepAlive(c) // its cleanup unmaps the magazines
	return c.state.close()
}

// CacheStats is what a cache holds. Sizes are in bytes, all else in objects.
//
//	objects that exist = InUse + CachedVCPU + CachedShared
type CacheStats struct {
	Name         string
	ObjectSize   int   // of T
	BlockSize    int   // of the memory for each, in Allocator.Stats
	InUse        int64 // with the program
	CachedVCPU   int64 // in magazines
	CachedShared int64 // in the shared list
	Built        int64 // made since the start, by calls of New if there is one
}

// Stats returns the figures as they are now. It stops nobody, so they are off by
// what other goroutines get and put meanwhile. After Close of the allocator no object
// exists.
func (c *Cache[T]) Stats() CacheStats {
	state := c.state
	s := CacheStats{Name: state.name, ObjectSize: int(unsafe.Sizeof(*new(T))), BlockSize: c.size, Built: state.built.Load()}
	slabs, _ := state.magazines.Slabs()
	for slab := range slabs {
		s.CachedVCPU += int64(state.magazines.Len(slab, theClass))
	}
	state.mu.Lock()
	s.CachedShared = int64(len(state.shared))
	state.mu.Unlock()
	if !state.a.closed {
		s.InUse = max(0, state.existing.Load()-s.CachedVCPU-s.CachedShared)
	}
	runtime.KeepAlive(c) // its cleanup unmaps the magazines
	return s
}
