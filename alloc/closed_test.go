package alloc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// closedParts is an allocator that is closed, with a cache, a region and blocks that
// were in use.
type closedParts struct {
	a             *Allocator
	cache         *Cache[record]
	zeroing       *Cache[[64]byte]
	object        *record
	zero          *[64]byte
	region, own   *Region
	mark          RegionMark
	appended      []int
	small, large  []byte
	typed         *plain
	slice         []int32
	closedBefore  *Cache[plain]
	ofClosedCache *plain
}

// closeParts closes an allocator in the middle of its life.
func closeParts(t *testing.T) closedParts {
	t.Helper()
	a := open(t, Options{Name: "former"})
	p := closedParts{a: a, region: NewRegion(a, RegionOptions{}), own: NewRegion(a, RegionOptions{})}
	var err error
	check := func(errs ...error) {
		t.Helper()
		if err := errors.Join(append(errs, err)...); err != nil {
			t.Fatal(err)
		}
	}
	p.cache, err = NewCache(a, CacheOptions[record]{New: func(*record) error { return nil }})
	check()
	p.zeroing, err = NewCache(a, CacheOptions[[64]byte]{Zero: true})
	check()
	p.closedBefore, err = NewCache(a, CacheOptions[plain]{})
	check()
	var objects []*record
	for range 100 {
		objects = append(objects, get(t, p.cache))
		p.zeroing.Put(get(t, p.zeroing))
	}
	for _, object := range objects[1:] {
		p.cache.Put(object)
	}
	p.object, p.zero, p.ofClosedCache = objects[0], get(t, p.zeroing), get(t, p.closedBefore)
	check(p.closedBefore.Close())
	must(t)(p.region.Bytes(100))
	p.mark = p.region.Mark()
	p.appended, err = RegionSlice[int](p.region, 10)
	check()
	must(t)(p.own.Bytes(60_000)) // a block of its own, and no chunk
	p.small, p.large = must(t)(a.Alloc(100)), must(t)(a.Alloc(300_000))
	p.typed, err = NewOf[plain](a)
	check()
	p.slice, err = MakeSlice[int32](a, 5, 10)
	check(a.Close())
	return p
}

// errorsAfterClose are the calls that return an error.
func (p *closedParts) errorsAfterClose(ctx context.Context) map[string]func() error {
	a := p.a
	bytes := func(_ []byte, err error) error { return err }
	batch := make([][]byte, 3)
	return map[string]func() error{
		"Alloc":            func() error { return bytes(a.Alloc(100)) },
		"Alloc large":      func() error { return bytes(a.Alloc(300_000)) },
		"Alloc of nothing": func() error { return bytes(a.Alloc(0)) },
		"AllocUninit":      func() error { return bytes(a.AllocUninit(100)) },
		"AllocAligned":     func() error { return bytes(a.AllocAligned(100, 64)) },
		"AllocAligned 0":   func() error { return bytes(a.AllocAligned(0, 64<<10)) },
		"AllocWait":        func() error { return bytes(a.AllocWait(ctx, 100)) },
		"AllocBatch":       func() error { _, err := a.AllocBatch(batch, 100); return err },
		"AllocBatchUninit": func() error { _, err := a.AllocBatchUninit(batch, 100); return err },
		"Realloc":          func() error { return bytes(a.Realloc(p.small, 50)) },
		"Realloc large":    func() error { return bytes(a.Realloc(p.large, 310_000)) },
		"Realloc to 0":     func() error { return bytes(a.Realloc(p.small, 0)) },
		"Realloc nil to 0": func() error { return bytes(a.Realloc(nil, 0)) },
		"Realloc nil":      func() error { return bytes(a.Realloc(nil, 10)) },
		"ReallocUninit":    func() error { return bytes(a.ReallocUninit(p.small, 50)) },
		"NewOf":            func() error { _, err := NewOf[plain](a); return err },
		"NewOf of nothing": func() error { _, err := NewOf[struct{}](a); return err },
		"MakeSlice":        func() error { _, err := MakeSlice[int](a, 1, 2); return err },
		"MakeSlice of 0":   func() error { _, err := MakeSlice[int](a, 0, 0); return err },
		"Trim":             func() error { _, err := a.Trim(ctx); return err },
		"Child":            func() error { _, err := a.Child(Options{}); return err },
		"Close":            a.Close,

		"NewCache":        func() error { _, err := NewCache(a, CacheOptions[plain]{}); return err },
		"Cache.Get":       func() error { _, err := p.cache.Get(); return err },
		"Cache.Get zero":  func() error { _, err := p.zeroing.Get(); return err },
		"Cache.Close":     p.cache.Close,
		"closed before":   p.closedBefore.Close,
		"Get":             func() error { _, err := p.closedBefore.Get(); return err },
		"Region.Bytes":    func() error { return bytes(p.region.Bytes(8)) },
		"Bytes of 0":      func() error { return bytes(p.region.Bytes(0)) },
		"Bytes large":     func() error { return bytes(p.region.Bytes(100_000)) },
		"Bytes too large": func() error { return bytes(p.region.Bytes(math.MaxInt)) },
		"BytesUninit":     func() error { return bytes(p.region.BytesUninit(8)) },
		"BytesUninit 0":   func() error { return bytes(p.region.BytesUninit(0)) },
		"own.Bytes":       func() error { return bytes(p.own.Bytes(8)) },
		"Region.Copy":     func() error { return bytes(p.region.Copy([]byte("text"))) },
		"Region.String":   func() error { _, err := p.region.String("text"); return err },
		"RegionNew":       func() error { _, err := RegionNew[plain](p.region); return err },
		"RegionNew of 0":  func() error { _, err := RegionNew[struct{}](p.region); return err },
		"RegionSlice":     func() error { _, err := RegionSlice[int](p.region, 3); return err },
		"RegionSlice 0":   func() error { _, err := RegionSlice[struct{}](p.region, 3); return err },
		"RegionAppend":    func() error { _, err := RegionAppend(p.region, p.appended[:5], 1); return err },
		"append in place": func() error { _, err := RegionAppend(p.region, p.appended, 1); return err },
		"append nothing":  func() error { _, err := RegionAppend(p.region, p.appended); return err },
		"append to nil":   func() error { _, err := RegionAppend(p.region, nil, 1); return err },
		"a new region": func() error {
			r := NewRegion(a, RegionOptions{})
			defer r.Release()
			return bytes(r.Bytes(8))
		},
	}
}

// TestNoCallWorksAfterClose makes all calls of a closed allocator, its caches and its
// regions, while other allocators have its former addresses: these keep what is in them.
func TestNoCallWorksAfterClose(t *testing.T) {
	p := closeParts(t)
	var others []*Allocator
	var blocks [][]byte
	reused := false
	for range 3 {
		other := open(t, Options{})
		for range 500 {
			for _, n := range []int{int(unsafe.Sizeof(record{})), 64, 100, 64 << 10} {
				b := must(t)(other.Alloc(n))
				fill(b[:cap(b)], 0xc3)
				blocks = append(blocks, b)
			}
		}
		reused = reused || other.Owns(p.small)
		others = append(others, other)
	}
	t.Logf("another allocator has the former addresses: %t", reused)
	for name, call := range p.errorsAfterClose(t.Context()) {
		if err := call(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	for name, call := range map[string]func(){
		"Free":          func() { p.a.Free(p.small) },
		"Free large":    func() { p.a.Free(p.large) },
		"FreeBatch":     func() { p.a.FreeBatch([][]byte{p.small, p.large}) },
		"FreeOf":        func() { FreeOf(p.a, p.typed) },
		"FreeSlice":     func() { FreeSlice(p.a, p.slice) },
		"Put":           func() { p.cache.Put(p.object) },
		"Put zero":      func() { p.zeroing.Put(p.zero) },
		"closed before": func() { p.closedBefore.Put(p.ofClosedCache) },
	} {
		e, ok := panicOf(call).(*MisuseError)
		if !ok || e.Addr == 0 || !isClosedReason(e.Reason) {
			t.Errorf("%s panics with %v, want a *MisuseError that says closed", name, e)
		}
	}
	p.a.Free(nil)
	p.a.Free(make([]byte, 0, 8))
	p.cache.Put(nil)
	if p.a.Owns(p.small) || p.a.UsableSize(p.small) != 0 || p.a.Stats().Live != 0 {
		t.Error("the closed allocator has memory")
	}
	for range p.a.Slabs() {
		t.Error("the closed allocator has slabs")
	}
	for range p.a.Budgets() {
		break
	}
	if s := p.cache.Stats(); s.InUse+s.CachedVCPU+s.CachedShared != 0 {
		t.Errorf("the cache has objects: %+v", s)
	}
	for range 2 {
		p.region.Rewind(p.mark)
		p.region.Reset()
		p.region.Release()
		p.own.Reset()
		p.own.Release()
	}
	for i, b := range blocks {
		if at := firstOther(b[:cap(b)], 0xc3); at >= 0 {
			t.Fatalf("byte %d of block %d of another allocator is overwritten", at, i)
		}
	}
	for _, other := range others {
		if err := other.heap.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

func isClosedReason(reason string) bool {
	const prefix = "the allocator is closed"
	return len(reason) >= len(prefix) && reason[:len(prefix)] == prefix
}

// TestCloseEndsWaits closes an allocator while calls wait for room: all of them return.
func TestCloseEndsWaits(t *testing.T) {
	a := open(t, Options{Limit: 1 << 20})
	must(t)(a.Alloc(1 << 20))
	ended := make(chan error)
	const calls = 5
	for range calls {
		go func() {
			_, err := a.AllocWait(t.Context(), 100)
			ended <- err
		}()
	}
	for waiting := 0; waiting < calls; runtime.Gosched() {
		a.waiting.mu.Lock()
		waiting = len(a.waiting.turns)
		a.waiting.mu.Unlock()
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for range calls {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	}
}

// TestRegionsAreCollected drops regions, of which the allocator keeps none alive, and
// which do not make its list of them grow for ever.
func TestRegionsAreCollected(t *testing.T) {
	a := open(t, Options{})
	collected := make(chan int, 1000)
	last := NewRegion(a, RegionOptions{})
	for i := range 200 {
		r := NewRegion(a, RegionOptions{Chunk: 1024})
		must(t)(r.Bytes(8))
		runtime.AddCleanup(r, func(i int) { collected <- i }, i)
		r.Release()
	}
	stress.Until(t, func() error {
		if runtime.GC(); len(collected) < 190 {
			return fmt.Errorf("%d of 200 regions were collected", len(collected))
		}
		return nil
	})
	for range 2000 {
		r := NewRegion(a, RegionOptions{Chunk: 1024})
		must(t)(r.Bytes(8))
		r.Release()
		if len(a.regions.all) == cap(a.regions.all) {
			runtime.GC()
		}
	}
	if n := cap(a.regions.all); n > 1000 {
		t.Errorf("the list has room for %d regions", n)
	}
	must(t)(last.Bytes(8))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Bytes(8); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// TestDroppedCachesGiveBack drops caches with objects in the magazines and in the
// shared list: the allocator has all of them again, and the addresses of the magazines.
func TestDroppedCachesGiveBack(t *testing.T) {
	a := open(t, Options{})
	mine := func() (mine []*[1000]byte) {
		for range 20 {
			c, err := NewCache(a, CacheOptions[[1000]byte]{Capacity: 100, Shared: 300})
			if err != nil {
				t.Fatal(err)
			}
			var objects []*[1000]byte
			for range 500 {
				objects = append(objects, get(t, c))
			}
			for _, object := range objects[1:] {
				c.Put(object)
			}
			mine = append(mine, objects[0])
		}
		return mine
	}()
	stress.Until(t, func() error {
		if runtime.GC(); a.Stats().Live != int64(20*GoodSize(1000)) {
			return fmt.Errorf("%d bytes are live", a.Stats().Live)
		}
		return nil
	})
	for _, object := range mine {
		FreeOf(a, object) // still good
	}
	if _, reserved := a.caches.sizes(); reserved != 0 {
		t.Errorf("%d bytes of addresses are still counted", reserved)
	}
	checkQuiet(t, a, 0)
}

// TestCachesAreDroppedWhileAllocatorsClose drops caches right before their allocator is
// closed: whichever the cleanups find, open or closed, they touch no memory that is gone.
func TestCachesAreDroppedWhileAllocatorsClose(t *testing.T) {
	before := retired.Load()
	for round := range 60 {
		a := open(t, Options{})
		for range 4 {
			c, err := NewCache(a, CacheOptions[[256]byte]{})
			if err != nil {
				t.Fatal(err)
			}
			var objects []*[256]byte
			for range 300 {
				objects = append(objects, get(t, c))
			}
			for _, object := range objects {
				c.Put(object)
			}
		}
		switch round % 3 {
		case 0:
			go runtime.GC()
		case 1:
			runtime.GC()
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stress.Until(t, func() error {
		if runtime.GC(); retired.Load() > before {
			return fmt.Errorf("dropped caches keep %d bytes of addresses", retired.Load()-before)
		}
		return nil
	})
}
