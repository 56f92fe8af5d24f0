package alloc

import (
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// cacheOf returns what a cache of objects of a type is made with.
func cacheOf[T any](t *testing.T, a *Allocator, o CacheOptions[T]) (capacity, shared, move, size int) {
	t.Helper()
	c, err := NewCache(a, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	c.Put(p)
	slabs, _ := c.state.magazines.Slabs()
	for slab := range slabs {
		if now, most := c.state.magazines.Capacity(slab, theClass); most > 0 {
			if now != most {
				t.Errorf("a magazine has room for %d of %d objects", now, most)
			}
			capacity = most
		}
	}
	return capacity, cap(c.state.shared), c.state.move, c.size
}

// TestCacheBounds: of 64 KiB as many objects as fit, 8 at least and 256 at most; four times
// as many for all together; and half a magazine at once, from 1 to 64.
func TestCacheBounds(t *testing.T) {
	a := open(t, Options{})
	check := func(what string, capacity, shared, move, size int, want [4]int) {
		t.Helper()
		if got := [4]int{capacity, shared, move, size}; got != want {
			t.Errorf("%s: capacity, shared, moved, size are %v, want %v", what, got, want)
		}
	}
	of := func(capacity, shared, move, size int) [4]int { return [4]int{capacity, shared, move, size} }
	c, s, m, z := cacheOf(t, a, CacheOptions[[8]byte]{})
	check("8 bytes", c, s, m, z, of(256, 1024, 64, 8))
	c, s, m, z = cacheOf(t, a, CacheOptions[[256]byte]{})
	check("256 bytes", c, s, m, z, of(256, 1024, 64, 256))
	c, s, m, z = cacheOf(t, a, CacheOptions[[512]byte]{})
	check("512 bytes", c, s, m, z, of(128, 512, 64, 512))
	c, s, m, z = cacheOf(t, a, CacheOptions[[1024]byte]{})
	check("1 KiB", c, s, m, z, of(64, 256, 32, 1024))
	c, s, m, z = cacheOf(t, a, CacheOptions[[8192]byte]{})
	check("8 KiB", c, s, m, z, of(8, 32, 4, 8192))
	c, s, m, z = cacheOf(t, a, CacheOptions[[100_000]byte]{})
	check("100 kB", c, s, m, z, of(8, 32, 4, GoodSize(100_000)))
	for _, row := range []struct{ capacity, shared, wantShared, move int }{
		{1, 0, 4, 1}, {2, 0, 8, 1}, {3, 0, 12, 1}, {4, 7, 7, 2}, {127, 1, 1, 63}, {128, 0, 512, 64}, {1000, 0, 4000, 64},
		{16 << 10, 0, 64 << 10, 64}, {1, 1 << 20, 1 << 20, 1},
	} {
		c, s, m, z = cacheOf(t, a, CacheOptions[[64]byte]{Capacity: row.capacity, Shared: row.shared})
		check("options", c, s, m, z, of(row.capacity, row.wantShared, row.move, 64))
	}
	for name, o := range map[string]CacheOptions[[64]byte]{
		"capacity below 1": {Capacity: -1}, "capacity too large": {Capacity: 16<<10 + 1},
		"shared below 1": {Shared: -1}, "shared too large": {Shared: 1<<20 + 1},
		"align below 1": {Align: -1}, "align no power": {Align: 24}, "align too large": {Align: 16 << 10},
		"align of the least number": {Align: -maxInt - 1},
		"new and zero":              {New: func(*[64]byte) error { return nil }, Zero: true},
	} {
		if _, err := NewCache(a, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for align, want := range map[int]int{1: 104, 8: 104, 16: 112, 32: 128, 64: 128, 128: 128, 8192: 8192} {
		_, _, _, z := cacheOf(t, a, CacheOptions[[100]byte]{Align: align})
		if z != want {
			t.Errorf("100 bytes at %d are in a block of %d, want %d", align, z, want)
		}
	}
	if _, err := NewCache(a, CacheOptions[[arena.MaxSmall + 1]byte]{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than the largest class: %v", err)
	}
	_, _, _, z = cacheOf(t, a, CacheOptions[[arena.MaxSmall]byte]{})
	if z != arena.MaxSmall {
		t.Errorf("the largest class has %d bytes", z)
	}
	_, _, _, z = cacheOf(t, a, CacheOptions[struct{}]{})
	if z != 8 {
		t.Errorf("objects without a size have %d bytes", z)
	}
	checkQuiet(t, a, 0)
}

// TestCachesAreCounted: what the magazines of all open caches take is their sum.
func TestCachesAreCounted(t *testing.T) {
	a := open(t, Options{})
	var footprint, reserved int64
	var all []*Cache[[64]byte]
	for range 3 {
		c, err := NewCache(a, CacheOptions[[64]byte]{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Get()
		if err != nil {
			t.Fatal(err)
		}
		c.Put(p)
		all = append(all, c)
		footprint += c.state.magazines.Footprint()
		reserved += c.state.magazines.Reserved()
	}
	gotFootprint, gotReserved := a.caches.sizes()
	if gotFootprint != footprint || gotReserved != reserved || footprint == 0 || reserved == 0 {
		t.Errorf("%d bytes of magazines in %d, want %d in %d", gotFootprint, gotReserved, footprint, reserved)
	}
	if m := a.Stats().Metadata - a.heap.Metadata(); m != footprint {
		t.Errorf("caches add %d bytes to the tables, want %d", m, footprint)
	}
	total := a.Stats().Reserved
	for _, c := range all {
		c.Close()
	}
	if f, r := a.caches.sizes(); f != 0 || r != 0 {
		t.Errorf("of closed caches %d bytes in %d", f, r)
	}
	// What Close frees may take the allocator's own magazines into use.
	if m, r := a.Stats().Metadata-a.heap.Metadata(), a.Stats().Reserved; m != 0 || total-r != reserved {
		t.Errorf("closed caches add %d bytes to the tables, and %d less are reserved, want %d", m, total-r, reserved)
	}
}

// TestCacheGetAndPutMove: a Get without an object at hand moves some of the shared list, and
// a Put without room moves some there: half a magazine, and what has no room is freed.
func TestCacheGetAndPutMove(t *testing.T) {
	const capacity, shared = 8, 6
	for range 100 {
		a := open(t, Options{})
		c, err := NewCache(a, CacheOptions[[64]byte]{Capacity: capacity, Shared: shared})
		if err != nil {
			t.Fatal(err)
		}
		var objects []*[64]byte
		for range 2*capacity + shared {
			p, err := c.Get()
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, p)
		}
		slab := c.state.magazines.Here()
		want := func(puts int) (vcpu, list, existing int64) {
			existing = int64(len(objects))
			for range puts {
				if vcpu == capacity {
					vcpu -= capacity / 2
					list += capacity / 2
					if list > shared {
						existing -= list - shared
						list = shared
					}
				}
				vcpu++
			}
			return vcpu, list, existing
		}
		good := true
		for i, p := range objects {
			c.Put(p)
			s := c.Stats()
			vcpu, list, existing := want(i + 1)
			if s.CachedVCPU != vcpu || s.CachedShared != list || s.InUse != existing-vcpu-list || s.Built != int64(len(objects)) {
				good = false
				if c.state.magazines.Here() == slab {
					t.Logf("after %d puts: %+v; want %d and %d of %d", i+1, s, vcpu, list, existing)
				}
				break
			}
		}
		if !good {
			c.Close()
			continue // the thread was on several vCPUs
		}
		before := c.Stats()
		for range before.CachedVCPU {
			c.Get()
		}
		c.Get()
		s := c.Stats()
		const move = capacity / 2
		if c.Close(); s.CachedShared == before.CachedShared-move && s.CachedVCPU == move-1 {
			return
		}
		t.Logf("a Get moves objects from %+v to %+v", before, s)
	}
	t.Error("in 100 tries the objects never moved as they should")
}

// TestTypedBorders: nothing of any kind takes memory, and what fits the block is the
// capacity.
func TestTypedBorders(t *testing.T) {
	a := open(t, Options{})
	for _, row := range []struct{ len, cap, want int }{{0, 0, 0}, {0, 1, 2}, {1, 1, 2}, {2, 2, 2}, {3, 3, 4}, {0, 4, 4}, {5, 5, 6}} {
		s, err := MakeSlice[[4]byte](a, row.len, row.cap)
		if err != nil || len(s) != row.len || cap(s) != row.want {
			t.Errorf("%d of %d elements of 4 bytes: %d of %d, want room for %d; %v", row.len, row.cap, len(s), cap(s), row.want, err)
		}
		if row.cap == 0 != (unsafe.Pointer(unsafe.SliceData(s)) == unsafe.Pointer(&emptyBlock)) {
			t.Errorf("%d of %d elements are at %p", row.len, row.cap, s)
		}
		FreeSlice(a, s)
	}
	for _, n := range []int{maxInt, maxInt/3 + 1, maxInt / 3} {
		if _, err := MakeSlice[[3]byte](a, 0, n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d elements of 3 bytes: %v", n, err)
		}
	}
	none, err := MakeSlice[struct{}](a, 3, 5)
	if err != nil || len(none) != 3 || cap(none) != 5 {
		t.Errorf("%d of %d elements without a size, %v", len(none), cap(none), err)
	}
	FreeSlice(a, none)
	FreeSlice[int](a, nil)
	FreeOf[int](a, nil)
	p, err := NewOf[struct{}](a)
	if err != nil || p == nil {
		t.Errorf("%p, %v", p, err)
	}
	FreeOf(a, p)
	for _, lengths := range [][2]int{{-1, 0}, {-1, -1}, {1, 0}, {2, 1}} {
		if panicOf(func() { MakeSlice[int](a, lengths[0], lengths[1]) }) == nil {
			t.Errorf("make of %v does not panic", lengths)
		}
	}
	checkQuiet(t, a, 0)
}

// TestCacheRefill: an object of the shared list, else a new one, and where there is no memory
// for one, what the magazines hold.
func TestCacheRefill(t *testing.T) {
	a := open(t, Options{})
	c, err := NewCache(a, CacheOptions[[64]byte]{Capacity: 8, Shared: 8})
	if err != nil {
		t.Fatal(err)
	}
	var objects [3]unsafe.Pointer
	for i := range objects {
		if objects[i], err = c.build(); err != nil {
			t.Fatal(err)
		}
	}
	full := fmt.Errorf("no room: %w", &LimitError{})
	builds := 0
	refill := func(what string, build func() (unsafe.Pointer, error), wantBuilds int, want error) unsafe.Pointer {
		t.Helper()
		builds = 0
		p, err := c.state.refill(func() (unsafe.Pointer, error) { builds++; return build() })
		if builds != wantBuilds || !errors.Is(err, want) || (err == nil) != (want == nil) || (p == nil) != (want != nil) {
			t.Errorf("%s: %p, %v, after %d builds; want %v after %d", what, p, err, builds, want, wantBuilds)
		}
		return p
	}
	never := func() (unsafe.Pointer, error) { return nil, full }
	broken := errors.New("broken")
	refill("nothing anywhere", never, 2, ErrLimit)
	refill("another error", func() (unsafe.Pointer, error) { return nil, broken }, 1, broken)
	if p := refill("a new one", func() (unsafe.Pointer, error) { return objects[0], nil }, 1, nil); p != objects[0] {
		t.Error("the new one is lost")
	}
	second := func() (unsafe.Pointer, error) {
		if builds == 2 {
			return objects[0], nil
		}
		return nil, full
	}
	if p := refill("room after all", second, 2, nil); p != objects[0] {
		t.Error("the new one is lost")
	}
	c.state.putShared(objects[:1])
	if p := refill("of the list", never, 0, nil); p != objects[0] {
		t.Error("another object comes out of the list")
	}
	for _, p := range objects {
		c.Put((*[64]byte)(p))
	}
	if refill("of the magazines", never, 1, nil) == nil {
		t.Error("nothing comes out of the magazines")
	}
	c.state.free(objects[:0])
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	refill("closed", never, 0, ErrClosed)
	if c.state.reclaim() {
		t.Error("a closed cache is reclaimed")
	}
}
