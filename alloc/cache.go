package alloc

import (
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

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
// they go back to it: at Close, and when the list is full. At most
//
//	Capacity * vCPUs + Shared
//
// objects are kept. When the allocator has no memory left, Get takes what other
// vCPUs keep before it fails, where the kernel has a fence (vcpu.Features); on
// the assigned tier it cannot. Close the cache before its allocator.
type Cache[T any] struct {
	// blocks is the fast path: that of the allocator, with magazines of the cache's
	// own.
	blocks rseqcs.Blocks
	get    func(*rseqcs.Blocks, int) ([]byte, error) // blocks.Alloc, or AllocZeroed with Zero
	size   int                                       // of a block in bytes

	a         *Allocator
	class     int          // of the objects' blocks, the only one that is used of
	objects   rseqcs.Stack // the magazines
	beside    *beside      // the same, as the allocator knows them
	zero      bool
	move      int // objects between a magazine and the shared list at once
	name      string
	construct func(*T) error
	existing  atomic.Int64 // objects: with the program, in magazines, in shared
	built     atomic.Int64 // objects ever

	draining sync.Mutex // reclaim and Close, one at a time; taken before mu

	// mu guards these two. No other lock is taken under it, and nothing called.
	//
	//	len(shared) <= cap(shared) = Options.Shared; closed: shared == nil
	mu     sync.Mutex
	shared []unsafe.Pointer
	closed bool
}

// NewCache returns an empty cache. T must not contain Go pointers, else the
// error wraps ErrPointers and names the field; if T has more than 256 KiB it
// wraps ErrTooLarge. A cache takes 256 KiB of address space for each vCPU and
// each P, and memory for what is used of that (Stats.Metadata of the allocator);
// Close gives back the memory, and the collector, when it finds the cache unused,
// the addresses. NewCache makes it look when closed ones have 64 MiB of them, or when it
// gets none.
func NewCache[T any](a *Allocator, o CacheOptions[T]) (*Cache[T], error) {
	t := reflect.TypeFor[T]()
	if err := checkPointers(t); err != nil {
		return nil, err
	}
	c := &Cache[T]{a: a, name: o.Name, construct: o.New}
	if c.name == "" {
		c.name = t.String()
	}
	switch {
	case o.Zero && o.New != nil:
		return nil, c.failed(errors.New("CacheOptions has both New and Zero"))
	case o.Capacity < 0 || o.Capacity > maxCapacity:
		return nil, c.failed(fmt.Errorf("CacheOptions.Capacity is %d, not in [1, %d]", o.Capacity, maxCapacity))
	case o.Shared < 0 || o.Shared > maxShared:
		return nil, c.failed(fmt.Errorf("CacheOptions.Shared is %d, not in [1, %d]", o.Shared, maxShared))
	case o.Align < 0 || o.Align > arena.PageSize || bits.OnesCount(uint(o.Align)) > 1:
		return nil, c.failed(fmt.Errorf("CacheOptions.Align is %d, not a power of two in [1, %d]", o.Align, arena.PageSize))
	}
	class := classFor(t.Size(), max(o.Align, 1))
	if class == 0 {
		return nil, c.failed(fmt.Errorf("%w: an object of %d bytes, at most %d fit", ErrTooLarge, t.Size(), arena.MaxSmall))
	}
	c.class, c.size, c.zero = int(class), arena.ClassSize(class), o.Zero
	capacity := o.Capacity
	if capacity == 0 {
		capacity = min(max(cacheBytes/c.size, leastCapacity), mostCapacity)
	}
	shared := o.Shared
	if shared == 0 {
		shared = sharedCapacity * capacity
	}
	c.move = min(max(capacity/2, 1), maxMove)
	capacities := make([]rseqcs.Capacity, arena.ClassCount)
	capacities[class] = rseqcs.Capacity{Initial: capacity, Max: capacity}
	if shut.Load()-shutKept.Load() >= shutMost {
		collectShut()
	}
	stack, err := rseqcs.NewStack(c.name, capacities)
	if err != nil && shut.Load() > 0 {
		collectShut()
		stack, err = rseqcs.NewStack(c.name, capacities)
	}
	if err != nil {
		return nil, c.failed(fmt.Errorf("%w: %w", ErrNoMemory, err))
	}
	c.objects, c.shared = *stack, make([]unsafe.Pointer, 0, shared)
	c.blocks.OpenBeside(&a.heap.Blocks, stack, rseqcs.Slow{
		Alloc:       func(*rseqcs.Blocks, int) ([]byte, error) { return c.getSlow() },
		AllocZeroed: func(*rseqcs.Blocks, int) ([]byte, error) { return c.getSlow() },
		Free:        func(_ *rseqcs.Blocks, block []byte) { c.putSlow(unsafe.Pointer(unsafe.SliceData(block))) },
	})
	if c.get = c.blocks.Alloc; o.Zero {
		c.get = c.blocks.AllocZeroed
	}
	c.beside = a.besides.add(stack)
	runtime.AddCleanup(c, (*beside).unmap, c.beside)
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

func (c *Cache[T]) failed(err error) error {
	return fmt.Errorf("alloc: cache %s: %w", c.name, err)
}

// Get returns an object, the newest that was Put on this vCPU if there is one.
// Its contents are those at that Put; see CacheOptions for a new one and Zero.
// The error wraps that of Alloc, that of New, or ErrClosed.
func (c *Cache[T]) Get() (*T, error) {
	b, err := c.get(&c.blocks, c.size)
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), err
}

// Put gives an object of this cache back; nil is ignored. After Close it frees
// the object.
//
// A pointer at which no block of this allocator of the cache's size class
// starts, and a Put of the object that was Put last on this vCPU panic with
// *MisuseError. A block of that very class that is not of this cache cannot be
// told from an object: it becomes one.
func (c *Cache[T]) Put(p *T) { c.blocks.Free(&c.blocks, blockOf(unsafe.Pointer(p), c.size, c.size)) }

// getSlow serves what this vCPU's magazine has no object for.
func (c *Cache[T]) getSlow() ([]byte, error) {
	// This thread may just not have been registered yet.
	p := c.objects.Pop(c.class)
	if p == nil {
		var err error
		if p, err = c.refill(); err != nil {
			return nil, c.failed(err)
		}
	}
	b := blockOf(p, c.size, c.size)
	if c.zero {
		clear(b)
	}
	return b, nil
}

// refill returns an object of the shared list, or else a new one. Without
// memory for one it takes what other vCPUs keep, where it can.
func (c *Cache[T]) refill() (unsafe.Pointer, error) {
	if p, err := c.fromShared(); p != nil || err != nil {
		return p, err
	}
	p, err := c.build()
	if (errors.Is(err, ErrLimit) || errors.Is(err, ErrNoMemory)) && c.reclaim() {
		if p, err := c.fromShared(); p != nil || err != nil {
			return p, err
		}
		return c.build()
	}
	return p, err
}

// fromShared moves objects from the shared list to this vCPU's magazine and
// returns one of them, or nil.
func (c *Cache[T]) fromShared() (unsafe.Pointer, error) {
	var array [maxMove]unsafe.Pointer
	n, err := c.takeShared(array[:c.move])
	if n == 0 {
		return nil, err
	}
	kept := 1 + c.objects.PushBatch(c.class, array[1:n])
	c.giveBack(array[kept:n])
	return array[0], nil
}

// reclaim moves the objects of all magazines to the shared list, and reports
// whether the cache is still open.
func (c *Cache[T]) reclaim() bool {
	c.draining.Lock()
	defer c.draining.Unlock()
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return false
	}
	c.objects.Drain(func(_ int, objects []unsafe.Pointer) { c.giveBack(objects) })
	return true
}

// takeShared moves objects from the shared list into the array, newest first,
// and returns how many.
func (c *Cache[T]) takeShared(into []unsafe.Pointer) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, ErrClosed
	}
	rest := max(0, len(c.shared)-len(into))
	n := copy(into, c.shared[rest:])
	slices.Reverse(into[:n])
	c.shared = c.shared[:rest]
	return n, nil
}

// build makes a new object.
func (c *Cache[T]) build() (unsafe.Pointer, error) {
	b, err := c.a.Alloc(c.size)
	if err != nil {
		return nil, err
	}
	p := (*T)(unsafe.Pointer(unsafe.SliceData(b)))
	if c.construct != nil {
		built := false
		defer func() {
			if !built { // an error or a panic
				c.a.Free(b)
			}
		}()
		if err := c.construct(p); err != nil {
			return nil, fmt.Errorf("constructor: %w", err)
		}
		built = true
	}
	c.existing.Add(1)
	c.built.Add(1)
	return unsafe.Pointer(p), nil
}

// putSlow puts an object for which the magazine has no room, and finds out
// about misuse.
func (c *Cache[T]) putSlow(p unsafe.Pointer) {
	if p == nil {
		return
	}
	if c.a.heap.ClassAt(p) != uint8(c.class) {
		panic(c.misuse(p))
	}
	switch c.objects.Push(c.class, p) {
	case rseqcs.Pushed:
		return
	case rseqcs.Duplicate:
		panic(c.doublePut(p))
	}
	var array [maxMove]unsafe.Pointer
	n := c.objects.PopBatch(c.class, array[:c.move])
	c.giveBack(array[:n])
	if slices.Contains(array[:n], p) {
		panic(c.doublePut(p))
	}
	// The object goes on top, where a second Put of it is seen.
	switch c.objects.Push(c.class, p) {
	case rseqcs.Duplicate:
		panic(c.doublePut(p))
	case rseqcs.Full:
		array[0] = p
		c.giveBack(array[:1])
	}
}

// giveBack moves objects to the shared list, and what it has no room for to the
// allocator.
func (c *Cache[T]) giveBack(objects []unsafe.Pointer) {
	c.mu.Lock()
	n := min(len(objects), cap(c.shared)-len(c.shared)) // closed: 0
	c.shared = append(c.shared, objects[:n]...)
	c.mu.Unlock()
	for _, p := range objects[n:] {
		c.free(p)
	}
}

// free gives an object back to the allocator.
func (c *Cache[T]) free(p unsafe.Pointer) {
	c.a.Free(blockOf(p, c.size, c.size))
	c.existing.Add(-1)
}

func (c *Cache[T]) doublePut(p unsafe.Pointer) *MisuseError {
	return &MisuseError{Op: "Put", Addr: uintptr(p), Size: c.size, Reason: "double put into cache " + c.name}
}

// misuse describes a Put with an address at which no object can start.
func (c *Cache[T]) misuse(p unsafe.Pointer) *MisuseError {
	e := c.a.misuse("Put", p)
	if usable := c.a.heap.UsableSize(p); usable != 0 {
		e.Size, e.Reason = usable, "a block of another size than the cache's"
	}
	e.Reason += ", no object of cache " + c.name
	return e
}

// Close gives all objects that the cache keeps back to the allocator. Later Get
// returns ErrClosed. Objects that the program still has stay good, and Put frees
// them. The memory of its magazines goes back to the system at once, their addresses
// (256 KiB for each vCPU and P) when the collector has found that nobody has the cache:
// a call that runs meanwhile may still look there.
func (c *Cache[T]) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.failed(ErrClosed)
	}
	c.closed = true
	shared := c.shared
	c.shared = nil
	c.mu.Unlock()
	for _, p := range shared {
		c.free(p)
	}
	c.blocks.RefuseFree()
	c.draining.Lock()
	defer c.draining.Unlock()
	c.beside.close(func(_ int, objects []unsafe.Pointer) {
		for _, p := range objects {
			c.free(p)
		}
	})
	return nil
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
// what other goroutines get and put meanwhile.
func (c *Cache[T]) Stats() CacheStats {
	var object T
	s := CacheStats{Name: c.name, ObjectSize: int(unsafe.Sizeof(object)), BlockSize: c.size, Built: c.built.Load()}
	slabs, _ := c.objects.Slabs()
	for slab := range slabs {
		s.CachedVCPU += int64(c.objects.Len(slab, c.class))
	}
	c.mu.Lock()
	s.CachedShared = int64(len(c.shared))
	c.mu.Unlock()
	s.InUse = max(0, c.existing.Load()-s.CachedVCPU-s.CachedShared)
	return s
}
