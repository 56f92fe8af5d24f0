package apimodel

import (
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

var cacheActions = []action{
	{"cache", 4, (*world).newCache},
	{"cacheGet", 10, (*world).cacheGet},
	{"cachePut", 10, (*world).cachePut},
	{"cacheClose", 2, (*world).cacheClose},
	{"cacheDrop", 1, (*world).cacheDrop},
	{"cacheOptions", 1, (*world).cacheOptions},
}

// cacheAPI is a Cache of any type.
type cacheAPI interface {
	get() ([]byte, error)
	put([]byte)
	close() error
	stats() alloc.CacheStats
}

type cacheOf[T any] struct{ c *alloc.Cache[T] }

func (c cacheOf[T]) get() ([]byte, error) {
	p, err := c.c.Get()
	if p == nil {
		return nil, err
	}
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(t)), err
}

func (c cacheOf[T]) put(b []byte)            { c.c.Put((*T)(unsafe.Pointer(unsafe.SliceData(b)))) }
func (c cacheOf[T]) close() error            { return c.c.Close() }
func (c cacheOf[T]) stats() alloc.CacheStats { return c.c.Stats() }

// cache is a Cache and its objects.
type cache struct {
	cacheAPI
	owner    *allocator
	zero     bool
	builds   bool // it has a constructor
	failing  bool // which fails each third time
	align    int
	capacity int // objects
	shared   int
	closed   bool
	mixed    bool               // several threads have used it
	using    []*block           // objects that the program has
	left     map[uintptr]uint64 // seeds of what Put has left, by address
	calls    *atomic.Int64      // of the constructor
	counted  int64              // bytes of its objects, as last observed
}

var errConstructor = errors.New("the constructor fails")

const constructed = 77 // the seed of what a constructor writes

func (w *world) newCache(o op) {
	m := w.open(o)
	if m == nil || len(w.caches) >= 6 {
		return
	}
	switch o.n & 7 {
	case 0, 1:
		openCache[[24]byte](w, m, o)
	case 2, 3:
		openCache[[100]byte](w, m, o)
	case 4, 5:
		openCache[[1000]byte](w, m, o)
	case 6:
		openCache[[9000]byte](w, m, o)
	case 7:
		openCache[[100_000]byte](w, m, o)
	}
}

func openCache[T any](w *world, m *allocator, o op) {
	c := &cache{owner: m, left: make(map[uintptr]uint64), calls: new(atomic.Int64)}
	options := alloc.CacheOptions[T]{
		Name:     "objects",
		Capacity: []int{0, 1, 2, 8, 100}[o.b%5],
		Shared:   []int{0, 1, 3, 50}[o.b/5%4],
		Align:    []int{0, 1, 8, 64, 128, 4096, 8192}[o.m/4%7],
	}
	c.align = max(options.Align, 8)
	switch o.m % 4 {
	case 0:
		options.Zero, c.zero = true, true
	case 1, 2:
		c.builds, c.failing = true, o.m%4 == 2
		calls, failing := c.calls, c.failing
		options.New = func(p *T) error {
			count := calls.Add(1)
			b := unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
			checkZero(b, "a new object")
			fill(b, constructed)
			if failing && count%3 == 0 {
				return errConstructor
			}
			return nil
		}
	}
	made, err := alloc.NewCache(m.a, options)
	if err != nil {
		check(made == nil, "NewCache: a cache and the error %v", err)
		w.allowed(m, err, "NewCache")
		return
	}
	c.cacheAPI = cacheOf[T]{made}
	s := c.stats()
	c.capacity, c.shared = options.Capacity, options.Shared
	if c.capacity == 0 {
		c.capacity = min(max(64<<10/s.BlockSize, 8), 256)
	}
	if c.shared == 0 {
		c.shared = 4 * c.capacity
	}
	var t T
	check(s.ObjectSize == int(unsafe.Sizeof(t)) && s.BlockSize >= s.ObjectSize && s.BlockSize%c.align == 0 && s.Name == "objects", "Stats of a new cache: %+v", s)
	check(s.InUse == 0 && s.CachedVCPU == 0 && s.CachedShared == 0 && s.Built == 0, "Stats of a new cache: %+v", s)
	w.caches = append(w.caches, c)
}

// pickCache returns a cache, which o.a selects, or nil.
func (w *world) pickCache(o op) *cache {
	if len(w.caches) == 0 {
		return nil
	}
	return w.caches[o.a%len(w.caches)]
}

// check compares the figures of a cache with the model.
func (c *cache) check() {
	if c.owner.closed {
		return
	}
	s := c.stats()
	check(s.InUse == int64(len(c.using)), "%d objects are in use, and Stats says %+v", len(c.using), s)
	check(s.CachedShared <= int64(c.shared), "more than %d objects are in the shared list: %+v", c.shared, s)
	check(s.CachedVCPU <= int64(c.capacity*slabs), "more than %d objects are in the magazines of each of %d vCPUs and Ps: %+v", c.capacity, slabs, s)
	if c.closed {
		check(s.CachedShared == 0 && s.CachedVCPU == 0, "a closed cache: %+v", s)
	}
	if c.builds && !c.failing {
		check(s.Built == c.calls.Load(), "the constructor was called %d times: %+v", c.calls.Load(), s)
	}
	c.count(s)
}

// count has the allocator know how many bytes the objects have.
func (c *cache) count(s alloc.CacheStats) {
	now := (s.InUse + s.CachedVCPU + s.CachedShared) * int64(s.BlockSize)
	c.owner.caches += now - c.counted
	c.counted = now
}

func (w *world) cacheGet(o op) {
	c := w.pickCache(o)
	if c == nil {
		return
	}
	for range []int{1, 1, 2, 9, 30}[o.m%5] {
		if !w.room(c.owner, c.stats().BlockSize) || !c.getOne(w) {
			return
		}
	}
}

// getOne is Get, and reports whether there was an object.
func (c *cache) getOne(w *world) bool {
	before := c.stats()
	calls := c.calls.Load()
	b, err := c.get()
	w.settle()
	after := c.stats()
	switch {
	case c.closed || c.owner.closed:
		check(b == nil, "Get of a closed cache or allocator returns %#x", addressOf(b))
		mustBeClosed(err, "Get")
		return false
	case errors.Is(err, errConstructor):
		check(c.failing && b == nil && c.calls.Load() == calls+1 && after.Built == before.Built, "Get: %v after %d calls of the constructor", err, c.calls.Load())
		return false
	case err != nil:
		check(b == nil, "Get: an object and the error %v", err)
		check(before.CachedShared == 0, "Get: %v, although the shared list has objects: %+v", err, before)
		w.refused(c.owner, after.BlockSize, 1, err, "Get")
		return false
	}
	check(addressOf(b)%uintptr(c.align) == 0, "Get: an object at %#x, not aligned to %d", addressOf(b), c.align)
	check(c.owner.a.UsableSize(b) == after.BlockSize, "Get: a block of %d bytes, want %d", c.owner.a.UsableSize(b), after.BlockSize)
	fresh := after.Built > before.Built
	seed, known := c.left[addressOf(b)]
	switch {
	case c.zero || fresh && !c.builds:
		checkZero(b, "an object of Get")
	case fresh:
		checkFilled(b, constructed, "a new object of Get")
	case known && !c.mixed:
		checkFilled(b, seed, "an object that was Put")
	case !c.mixed:
		fail("Get: the object %#x was never Put", addressOf(b))
	}
	check(!fresh || !c.builds || c.calls.Load() == calls+1, "Get: %d calls of the constructor for one object", c.calls.Load()-calls)
	delete(c.left, addressOf(b))
	object := w.add(c.owner, unsafe.Slice(unsafe.SliceData(b), after.BlockSize)[:len(b)], "Get")
	c.using = append(c.using, object)
	return true
}

func (w *world) cachePut(o op) {
	c := w.pickCache(o)
	if c == nil {
		return
	}
	for range []int{1, 1, 3, 20, 60}[o.m%5] {
		if len(c.using) == 0 {
			return
		}
		at := o.b % len(c.using)
		if c.owner.closed {
			b := c.using[at].b
			mustMisuse("Put", b, 0, "closed", func() { c.put(b) })
			return
		}
		c.putOne(w, at)
	}
	c.put(nil)
}

// putOne puts an object back.
func (c *cache) putOne(w *world, at int) {
	object := c.using[at]
	c.using = slices.Delete(c.using, at, at+1)
	w.remove(object)
	c.left[object.address()] = object.seed
	c.put(object.b)
}

// cacheClose is Close: objects that the program has stay good.
func (w *world) cacheClose(o op) {
	c := w.pickCache(o)
	if c == nil || c.owner.closed {
		return
	}
	err := c.close()
	if c.closed {
		mustBeClosed(err, "Cache.Close")
	} else {
		w.allowed(c.owner, err, "Cache.Close")
	}
	c.closed = true
	s := c.stats()
	check(s.CachedShared == 0 && s.CachedVCPU == 0 && s.InUse == int64(len(c.using)), "after Close with %d objects in use: %+v", len(c.using), s)
	if len(c.using) == 0 && o.m%2 == 0 {
		c.count(s)
		w.caches = slices.DeleteFunc(w.caches, func(other *cache) bool { return other == c })
	}
}

// cacheDrop forgets a cache that keeps objects and was not closed: when the collector
// has found that, its objects are free.
func (w *world) cacheDrop(o op) {
	c := w.pickCache(o)
	if c == nil || c.owner.closed || c.closed || o.m%4 > 0 {
		return
	}
	for len(c.using) > 0 {
		c.putOne(w, 0)
	}
	c.check()
	m := c.owner
	m.caches -= c.counted
	w.caches = slices.DeleteFunc(w.caches, func(other *cache) bool { return other == c })
	*c = cache{}
	want := w.expected(m)
	end := time.Now().Add(20 * time.Second)
	for runtime.GC(); m.a.Stats().Live != want && time.Now().Before(end); runtime.GC() {
		time.Sleep(time.Millisecond)
	}
	check(m.a.Stats().Live == want, "%d bytes are live after a cache was dropped and collected, want %d", m.a.Stats().Live, want)
}

// end closes a cache at the end of a run.
func (c *cache) end(w *world) {
	if c.owner.closed {
		return
	}
	if !c.closed {
		w.allowed(c.owner, c.close(), "Cache.Close")
		c.closed = true
	}
	for len(c.using) > 0 {
		c.putOne(w, 0)
	}
	s := c.stats()
	check(s.InUse == 0 && s.CachedShared == 0 && s.CachedVCPU == 0, "the end of a cache: %+v", s)
	c.count(s)
}

// cacheOptions has NewCache refuse options.
func (w *world) cacheOptions(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	for i, options := range []alloc.CacheOptions[uint64]{
		{Zero: true, New: func(*uint64) error { return nil }},
		{Capacity: -1}, {Capacity: 16<<10 + 1},
		{Shared: -1}, {Shared: 1<<20 + 1},
		{Align: -8}, {Align: 3}, {Align: 16 << 10},
	} {
		c, err := alloc.NewCache(m.a, options)
		check(c == nil && err != nil, "NewCache with wrong options %d: %v", i, err)
	}
	c, err := alloc.NewCache(m.a, alloc.CacheOptions[[256<<10 + 1]byte]{})
	check(c == nil && errors.Is(err, alloc.ErrTooLarge), "NewCache of more than 256 KiB: %v", err)
}
