package alloc

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// record is an object that knows who has it.
type record struct {
	owner  atomic.Uint64
	serial uint64
	text   [48]byte
}

// openCache returns a cache that the test closes, unless it was closed, before
// its allocator.
func openCache[T any](t testing.TB, a *Allocator, o CacheOptions[T]) *Cache[T] {
	t.Helper()
	c, err := NewCache(a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return c
}

// get returns an object, of which there has to be one.
func get[T any](t testing.TB, c *Cache[T]) *T {
	t.Helper()
	p, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCacheModel gets and puts at random and compares with a model: every
// object has one owner and the contents of its last Put, and is built once.
func TestCacheModel(t *testing.T) {
	random := steady.Random(t)
	a := open(t, Options{})
	var built atomic.Uint64
	o := CacheOptions[record]{Capacity: 1 + random.IntN(40), Shared: 1 + random.IntN(100)}
	o.New = func(r *record) error {
		if r.owner.Load() != 0 || r.serial != 0 || r.text != [48]byte{} {
			t.Errorf("the constructor sees %+v", r)
		}
		r.serial = built.Add(1)
		return nil
	}
	c := openCache(t, a, o)
	free, mine := map[*record]uint64{}, []*record{}
	serials := map[uint64]bool{}
	for range 50_000 {
		if random.IntN(300) < 150-len(mine)/4 || len(mine) == 0 {
			r := get(t, c)
			want, known := free[r]
			if !r.owner.CompareAndSwap(0, 1) || r.serial == 0 || known && r.serial < want {
				t.Fatalf("object %p: serial %d at least %d, owner %d", r, r.serial, want, r.owner.Load())
			}
			if !known && serials[r.serial] {
				t.Fatalf("object %p has serial %d of another", r, r.serial)
			}
			serials[r.serial] = true
			delete(free, r)
			mine = append(mine, r)
		} else {
			i := random.IntN(len(mine))
			r := mine[i]
			mine[i] = mine[len(mine)-1]
			mine = mine[:len(mine)-1]
			r.owner.Store(0)
			free[r] = r.serial
			c.Put(r)
		}
	}
	s := c.Stats()
	if s.InUse != int64(len(mine)) || s.Built != int64(built.Load()) || s.ObjectSize != int(unsafe.Sizeof(record{})) {
		t.Errorf("%+v, want %d in use and %d built", s, len(mine), built.Load())
	}
	if s.CachedShared > int64(o.Shared) {
		t.Errorf("%d objects shared, at most %d may be", s.CachedShared, o.Shared)
	}
	checkQuiet(t, a, int(s.InUse+s.CachedVCPU+s.CachedShared)*s.BlockSize)
	for _, r := range mine {
		c.Put(r)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkQuiet(t, a, 0)
}

// TestCacheObjectsHaveOneOwner gets, passes round and puts under a storm; then
// it closes the cache in the middle of it.
func TestCacheObjectsHaveOneOwner(t *testing.T) {
	a := open(t, Options{Name: "owners"})
	c := openCache(t, a, CacheOptions[record]{Capacity: 8, Shared: 40, New: func(r *record) error { r.serial = 1; return nil }})
	stress.Storm(t)
	round := make(chan *record, blocksInPlay)
	var failures, rounds atomic.Int64
	var closed atomic.Bool
	fail := func(format string, args ...any) {
		if failures.Add(1) == 1 {
			t.Errorf("conservation: "+format, args...)
		}
	}
	change := func(r *record, from, to uint64) {
		if !r.owner.CompareAndSwap(from, to) {
			fail("object %p is to go from %d to %d, but belongs to %d", r, from, to, r.owner.Load())
		}
	}
	const passing = 1 << 20 // the owner while an object is in the round
	pass := func(me uint64) {
		if rand.IntN(2) == 0 {
			select {
			case r := <-round:
				change(r, passing, me)
				change(r, me, 0)
				c.Put(r)
			default:
			}
			return
		}
		r, err := c.Get()
		switch {
		case errors.Is(err, ErrClosed) && closed.Load():
			return
		case err != nil:
			fail("no object: %v", err)
			return
		case r.serial != 1:
			fail("object %p was not built: %d", r, r.serial)
		}
		change(r, 0, me)
		change(r, me, passing)
		select {
		case round <- r:
		default:
			change(r, passing, 0)
			c.Put(r)
		}
	}
	var all sync.WaitGroup
	end := time.Now().Add(stress.Duration())
	for number := range goroutines {
		all.Go(func() {
			for time.Now().Before(end) && failures.Load() == 0 {
				for range 50 {
					pass(uint64(number + 1))
				}
				rounds.Add(50)
			}
		})
	}
	time.Sleep(stress.Duration() * 3 / 4)
	closed.Store(true)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	close(round)
	for r := range round {
		c.Put(r)
	}
	if live := a.Stats().Live; live != 0 && failures.Load() == 0 {
		t.Errorf("%d bytes are lost", live)
	}
	if s := c.Stats(); s.InUse != 0 || s.CachedVCPU != 0 || s.CachedShared != 0 {
		t.Errorf("%+v after Close", s)
	}
	t.Logf("mode %v, %d rounds, %d objects built", a.Stats().Mode, rounds.Load(), c.Stats().Built)
}

// TestCacheContents looks at what Get returns by each option.
func TestCacheContents(t *testing.T) {
	a := open(t, Options{})
	fresh := openCache(t, a, CacheOptions[plain]{})
	zero := openCache(t, a, CacheOptions[plain]{Zero: true, Capacity: 1, Shared: 1})
	for range 100 {
		p := get(t, fresh)
		if p.Number != 0 && p.Number != 7 {
			t.Fatalf("neither new nor of the last Put: %+v", *p)
		}
		p.Number = 7
		fresh.Put(p)
		ps := []*plain{get(t, zero), get(t, zero), get(t, zero)}
		for _, p := range ps {
			if *p != (plain{}) {
				t.Fatalf("not zero: %+v", *p)
			}
			p.Number, p.Inner.B = 7, 1
			zero.Put(p)
		}
	}
	if built := fresh.Stats().Built; built > 20 {
		t.Errorf("%d objects were built for one at a time", built)
	}
	nothing := openCache(t, a, CacheOptions[struct{}]{})
	first, second := get(t, nothing), get(t, nothing)
	nothing.Put(first)
	nothing.Put(second)
}

// TestCacheAlign checks addresses and that objects share no line.
func TestCacheAlign(t *testing.T) {
	a := open(t, Options{})
	for _, align := range []int{0, 1, 8, 64, 128, 4096, 8192} {
		c := openCache(t, a, CacheOptions[plain]{Align: align})
		var addresses []uintptr
		for range 100 {
			addresses = append(addresses, uintptr(unsafe.Pointer(get(t, c))))
		}
		slices.Sort(addresses)
		step := uintptr(max(align, 8))
		for i, address := range addresses {
			if address%step != 0 || i > 0 && address-addresses[i-1] < max(step, unsafe.Sizeof(plain{})) {
				t.Errorf("align %d: object at %#x", align, address)
			}
		}
	}
}

// TestCacheOptions refuses what cannot be.
func TestCacheOptions(t *testing.T) {
	a := open(t, Options{})
	construct := func(*plain) error { return nil }
	for name, o := range map[string]CacheOptions[plain]{
		"New and Zero":          {New: construct, Zero: true},
		"CacheOptions.Capacity": {Capacity: -1},
		"not in [1, 16384]":     {Capacity: maxCapacity + 1},
		"CacheOptions.Shared":   {Shared: -1},
		"CacheOptions.Align":    {Align: 48},
		"not a power of two":    {Align: 16384},
		"Align is -8":           {Align: -8},
	} {
		if _, err := NewCache(a, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want %q", o, err, name)
		}
	}
	if _, err := NewCache(a, CacheOptions[list]{}); !errors.Is(err, ErrPointers) {
		t.Errorf("%v, want ErrPointers", err)
	}
	if _, err := NewCache(a, CacheOptions[[300_000]byte]{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	large := openCache(t, a, CacheOptions[[256 << 10]byte]{Capacity: maxCapacity})
	large.Put(get(t, large))
}

// TestCacheMisuse puts what is no object.
func TestCacheMisuse(t *testing.T) {
	a, other := open(t, Options{}), open(t, Options{})
	c := openCache(t, a, CacheOptions[plain]{})
	c.Put(nil)
	size := c.Stats().BlockSize
	p, foreign := get(t, c), get(t, openCache(t, other, CacheOptions[plain]{}))
	small, large := must(t)(a.Alloc(8)), must(t)(a.Alloc(300_000))
	for name, test := range map[string]struct {
		p    *plain
		size int
	}{
		"Go heap":     {new(plain), 0},
		"another's":   {foreign, 0},
		"the middle":  {(*plain)(unsafe.Add(unsafe.Pointer(p), 8)), size},
		"small block": {(*plain)(unsafe.Pointer(unsafe.SliceData(small))), 8},
		"large block": {(*plain)(unsafe.Pointer(unsafe.SliceData(large))), cap(large)},
	} {
		t.Run(name, func(t *testing.T) {
			mustMisuse(t, a, MisuseError{Op: "Put", Addr: uintptr(unsafe.Pointer(test.p)), Size: test.size}, func() { c.Put(test.p) })
		})
	}
	c.Put(p)
	for _, capacity := range []int{1, 2, 100} {
		if !putTwice(t, capacity) {
			t.Errorf("capacity %d: a double put was never seen", capacity)
		}
	}
}

// putTwice puts an object twice in a row, which is seen on the same vCPU only:
// such a try is repeated, with another cache. A cache with an object twice is
// not closed, but its allocator is.
func putTwice(t *testing.T, capacity int) (seen bool) {
	for range 100 {
		a := open(t, Options{})
		c, err := NewCache(a, CacheOptions[plain]{Capacity: capacity})
		if err != nil {
			t.Fatal(err)
		}
		p := get(t, c)
		var value any
		held := steady.OnOneVCPU(t, func() {
			c.Put(p)
			value = panicOf(func() { c.Put(p) })
		})
		if !held || value == nil {
			continue
		}
		mustMisuse(t, a, MisuseError{Op: "Put", Addr: uintptr(unsafe.Pointer(p)), Size: c.size}, func() { panic(value) })
		if s := c.Stats(); s.InUse != 0 || s.CachedVCPU+s.CachedShared != 1 {
			t.Fatalf("after a double put: %+v", s)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		checkQuiet(t, a, 0)
		return true
	}
	return false
}

// TestCacheLimit takes all that the limit allows and loses none of it.
func TestCacheLimit(t *testing.T) {
	const limit = 1 << 20
	a := open(t, Options{Limit: limit})
	c := openCache(t, a, CacheOptions[[1000]byte]{})
	var objects []*[1000]byte
	for {
		p, err := c.Get()
		if err != nil {
			if !errors.Is(err, ErrLimit) || p != nil {
				t.Fatalf("%v, want ErrLimit", err)
			}
			break
		}
		objects = append(objects, p)
	}
	if len(objects) < limit/1024*8/10 {
		t.Errorf("only %d objects", len(objects))
	}
	for _, p := range objects {
		c.Put(p)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkQuiet(t, a, 0)
}

// reachesOtherVCPUs reports whether memory that other vCPUs keep can be had; without a
// fence it is bounded only.
func reachesOtherVCPUs() bool { return vcpu.Probe().Mode != vcpu.Assigned && rseqcs.Fence() == nil }

// TestCacheReachesOtherVCPUs gets and puts all objects that the limit allows on
// one thread, which then keeps its CPU busy, and wants them all on another: with the
// kernel's fence or by stopping the world.
func TestCacheReachesOtherVCPUs(t *testing.T) {
	a := open(t, Options{Limit: 1 << 20})
	c := openCache(t, a, CacheOptions[[1000]byte]{Capacity: 2000})
	filled, stop, done := make(chan int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var objects []*[1000]byte
		for p, err := c.Get(); err == nil; p, err = c.Get() {
			objects = append(objects, p)
		}
		for _, p := range objects {
			c.Put(p)
		}
		filled <- len(objects)
		for {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	var objects []*[1000]byte
	for range <-filled {
		p, err := c.Get()
		if err != nil {
			t.Errorf("after %d objects: %v", len(objects), err)
			break
		}
		objects = append(objects, p)
	}
	close(stop)
	<-done
	for _, p := range objects {
		c.Put(p)
	}
}

// TestCacheConstructor fails in it.
func TestCacheConstructor(t *testing.T) {
	a := open(t, Options{})
	broken := errors.New("broken")
	var fails any = broken
	picky := openCache(t, a, CacheOptions[plain]{Name: "picky", New: func(*plain) error {
		if err, ok := fails.(error); ok {
			return err
		} else if fails != nil {
			panic(fails)
		}
		return nil
	}})
	if _, err := picky.Get(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "picky") {
		t.Errorf("%v, want %v", err, broken)
	}
	fails = "panic"
	if value := panicOf(func() { picky.Get() }); value != "panic" {
		t.Errorf("panic with %v", value)
	}
	checkQuiet(t, a, 0)
	fails = nil
	picky.Put(get(t, picky))
}

// TestCacheClose closes with objects out.
func TestCacheClose(t *testing.T) {
	a := open(t, Options{})
	c := openCache(t, a, CacheOptions[plain]{Capacity: 4, Shared: 8})
	var objects []*plain
	for range 100 {
		objects = append(objects, get(t, c))
	}
	for _, p := range objects[:60] {
		c.Put(p)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkQuiet(t, a, 40*c.size)
	if _, err := c.Get(); !errors.Is(err, ErrClosed) {
		t.Errorf("Get: %v, want ErrClosed", err)
	}
	if err := c.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("Close: %v, want ErrClosed", err)
	}
	if s := c.Stats(); s.InUse != 40 || s.CachedVCPU != 0 || s.CachedShared != 0 {
		t.Errorf("%+v", s)
	}
	for _, p := range objects[60:] {
		p.Number++ // still good
		c.Put(p)
	}
	checkQuiet(t, a, 0)
}

func TestCacheLeavesTheGoHeapAlone(t *testing.T) {
	a := open(t, Options{})
	c := openCache(t, a, CacheOptions[plain]{Zero: true})
	small := openCache(t, a, CacheOptions[plain]{Capacity: 2, Shared: 2})
	objects := make([]*plain, 10)
	for name, run := range map[string]func(){
		"pair": func() { c.Put(get(t, c)) },
		"slow": func() {
			for i := range objects {
				objects[i] = get(t, small)
			}
			for _, p := range objects {
				small.Put(p)
			}
		},
	} {
		if got := testing.AllocsPerRun(200, run); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
