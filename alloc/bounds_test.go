package alloc

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// TestReserveFor: four times the limit or the memory, for each part, within what the
// process may have.
func TestReserveFor(t *testing.T) {
	if arena.MaxReserve < 1<<40 {
		t.Skip("addresses have 32 bits")
	}
	const mib, gib = int64(1 << 20), int64(1 << 30)
	for _, row := range []struct{ limit, memory, parts, addresses, data, want int64 }{
		{0, 0, 1, 0, 0, 16 * gib},
		{0, 4 * gib, 1, 0, 0, 16 * gib},
		{0, 4*gib + 1, 1, 0, 0, 32 * gib},
		{0, 100 * gib, 1, 0, 0, 512 * gib},
		{0, 1024 * gib, 1, 0, 0, 4096 * gib},
		{0, 9999 * gib, 1, 0, 0, 4096 * gib},
		{0, 4 * gib, 3, 0, 0, 48 * gib},
		{0, 1024 * gib, 3, 0, 0, 4096 * gib},
		{100 * mib, 64 * gib, 1, 0, 0, 400 * mib},
		{100 * mib, 64 * gib, 2, 0, 0, 800 * mib},
		{mib, 64 * gib, 1, 0, 0, 16 * mib},
		{2048 * gib, 64 * gib, 1, 0, 0, 4096 * gib},
		{0, 4 * gib, 1, 8 * gib, 0, 2 * gib},
		{0, 4 * gib, 1, 64 * gib, 0, 16 * gib},
		{0, 4 * gib, 1, 999 * gib, 0, 16 * gib},
		{0, 4 * gib, 1, 20 * mib, 0, 16 * mib},
		{0, 4 * gib, 1, 0, gib, 4 * gib},
		{0, 4 * gib, 1, 0, 4*gib - 1, 16*gib - 4},
		{0, 4 * gib, 1, 0, 4 * gib, 16 * gib},
		{0, 4 * gib, 1, 0, mib, 16 * mib},
		{0, 4 * gib, 1, 8 * gib, 100 * mib, 400 * mib},
	} {
		if got := reserveFor(row.limit, row.memory, row.parts, row.addresses, row.data); got != row.want {
			t.Errorf("%+v: %d MiB", row, got/mib)
		}
	}
}

// endingContext ends after so many calls of Err.
type endingContext struct {
	context.Context
	left int
}

func (c *endingContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestTrimStopsMidway: a Trim whose context ends after the first piece says so, and how
// much it has returned until then; what it left, the next one returns.
func TestTrimStopsMidway(t *testing.T) {
	if !osmem.CanRelease {
		t.Skip("nothing is returned")
	}
	const size, count = 1 << 20, 8
	a := open(t, Options{Retain: -1})
	var blocks, between [][]byte
	for range count {
		blocks = append(blocks, must(t)(a.AllocUninit(size)))
		between = append(between, must(t)(a.AllocUninit(size)))
	}
	a.FreeBatch(blocks)
	total := int64(0)
	for stop := 1; total < count*size; stop++ {
		if stop > 4*count {
			t.Fatalf("after %d calls %d bytes are returned", stop, total)
		}
		const calls = 2 // at the start, and before the first piece
		released, err := a.Trim(&endingContext{t.Context(), calls})
		if !errors.Is(err, context.Canceled) || released != size {
			t.Fatalf("a Trim that ends after its first piece: %d bytes, %v; want %d", released, err, size)
		}
		total += released
	}
	if released, err := a.Trim(&endingContext{t.Context(), 1}); released != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("a Trim that ends before its first piece: %d bytes, %v", released, err)
	}
	if released, err := a.Trim(t.Context()); released < 0 || err != nil {
		t.Errorf("%d bytes, %v", released, err)
	}
	a.FreeBatch(between)
}

// TestCacheSharedOrder: what was put last into the list of all vCPUs comes out first.
func TestCacheSharedOrder(t *testing.T) {
	a := open(t, Options{})
	c, err := NewCache(a, CacheOptions[[64]byte]{Capacity: 1, Shared: 8})
	if err != nil {
		t.Fatal(err)
	}
	var objects [8]unsafe.Pointer
	for i := range objects {
		if objects[i], err = c.build(); err != nil {
			t.Fatal(err)
		}
	}
	if c.state.putShared(objects[:5]) != nil || c.state.putShared(objects[5:]) != nil {
		t.Error("an object was put twice")
	}
	for _, want := range [][]int{{7, 6, 5}, {4}, {3, 2, 1, 0}} {
		into := make([]unsafe.Pointer, max(len(want), 1))
		if len(want) == 4 {
			into = make([]unsafe.Pointer, 6)
		}
		n, err := c.state.takeShared(into)
		if n != len(want) || err != nil {
			t.Fatalf("%d objects, %v, want %d", n, err, len(want))
		}
		for i, index := range want {
			if into[i] != objects[index] {
				t.Errorf("object %d comes out where object %d was to", slices.Index(objects[:], into[i]), index)
			}
		}
	}
	if n, err := c.state.takeShared(objects[:]); n != 0 || err != nil {
		t.Errorf("%d objects of an empty list, %v", n, err)
	}
	c.state.putShared(objects[:])
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	checkQuiet(t, a, 0)
}

// TestOptionBorders: the least of each option is good, and one less is not.
func TestOptionBorders(t *testing.T) {
	for _, row := range []struct {
		name string
		o    Options
		good bool
	}{
		{"the least limit", Options{Limit: 64 << 10}, true},
		{"less", Options{Limit: 64<<10 - 1}, false},
		{"the least soft limit", Options{SoftLimit: 64 << 10}, true},
		{"less", Options{SoftLimit: 64<<10 - 1}, false},
		{"the least delay", Options{ReleaseDelay: 10 * time.Millisecond}, true},
		{"less", Options{ReleaseDelay: 10*time.Millisecond - 1}, false},
		{"the least that is one", Options{ReleaseDelay: 1}, false},
		{"no delay, never", Options{ReleaseDelay: -1}, true},
		{"the least rate", Options{ReleaseRate: 1 << 20}, true},
		{"less", Options{ReleaseRate: 1<<20 - 1}, false},
		{"below none", Options{ReleaseRate: -1}, false},
		{"the first policy", Options{HugePages: HugeSystem}, true},
		{"the last policy", Options{HugePages: HugeCollapse}, true},
		{"behind it", Options{HugePages: HugeCollapse + 1}, false},
		{"before it", Options{HugePages: HugeSystem - 1}, false},
		{"the first placement", Options{Placement: Local}, true},
		{"no node", Options{Placement: OnNode(-1)}, false},
	} {
		row.o.Reserve = arena.MinReserve
		a, err := New(row.o)
		if (err == nil) != row.good {
			t.Errorf("%s: %+v: %v", row.name, row.o, err)
		}
		if err == nil {
			if want := max(row.o.ReleaseDelay, 0); row.o.ReleaseDelay == 0 && a.options.ReleaseDelay != time.Second || want > 0 && a.options.ReleaseDelay != want {
				t.Errorf("%s: a delay of %v", row.name, a.options.ReleaseDelay)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestAllocAlignedClass: a block up to MaxSmall at up to 8 KiB is of the smallest class
// whose size is a multiple of the alignment; others are whole pages.
func TestAllocAlignedClass(t *testing.T) {
	a := open(t, Options{})
	for _, n := range []int{0, 1, 8, 9, 104, 4000, 8191, 8192, 8193, 100_000, arena.MaxSmall - 1, arena.MaxSmall, arena.MaxSmall + 1} {
		for align := 1; align <= 16<<10; align *= 2 {
			want := 0
			if n <= arena.MaxSmall && align <= 8<<10 {
				for want = GoodSize(max(n, 1)); want%align != 0; want = GoodSize(want + 1) {
				}
			}
			if want == 0 || want > arena.MaxSmall {
				want = (max(n, 1) + arena.PageSize - 1) / arena.PageSize * arena.PageSize
			}
			b := must(t)(a.AllocAligned(n, align))
			class := int(a.heap.ClassAt(unsafe.Pointer(unsafe.SliceData(b))))
			if len(b) != n || cap(b) != want || (class == 0) != (n > arena.MaxSmall || align > 8<<10) {
				t.Errorf("%d bytes at %d: %d of %d, class %d; want %d", n, align, len(b), cap(b), class, want)
			}
			a.Free(b)
		}
	}
	mustMisuse(t, a, MisuseError{Op: "AllocAligned"}, func() { a.AllocAligned(8, math.MinInt) })
	checkQuiet(t, a, 0)
}

// TestGoodSizeBorders: up to the largest number, what is rounded up does not overflow.
func TestGoodSizeBorders(t *testing.T) {
	for _, row := range [][2]int{
		{0, 0}, {1, 8}, {8, 8}, {9, 16}, {arena.MaxSmall, arena.MaxSmall},
		{arena.MaxSmall + 1, arena.MaxSmall + arena.PageSize},
		{math.MaxInt - arena.PageSize, (math.MaxInt-arena.PageSize)/arena.PageSize*arena.PageSize + arena.PageSize},
		{math.MaxInt - arena.PageSize + 1, math.MaxInt - arena.PageSize + 1},
		{math.MaxInt, math.MaxInt},
	} {
		if got := GoodSize(row[0]); got != row[1] {
			t.Errorf("GoodSize(%d) is %d, want %d", row[0], got, row[1])
		}
	}
}

// TestChildInheritsEach: a child has what its parent has, but for what it has of its own.
func TestChildInheritsEach(t *testing.T) {
	const mib = 1 << 20
	all := Options{Name: "parent", ReleaseDelay: time.Hour, ReleaseRate: 3 * mib, Retain: 5 * mib, HugePages: HugeNever, Placement: Local, Reserve: 32 * mib}
	own := Options{Name: "own", ReleaseDelay: 2 * time.Hour, ReleaseRate: 4 * mib, Retain: 6 * mib, HugePages: HugeSystem + 1, Placement: Interleave, Reserve: 48 * mib}
	parent := open(t, all)
	check := func(what string, o, want Options) {
		t.Helper()
		c, err := parent.Child(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := c.options
		if got.ReleaseDelay != want.ReleaseDelay || got.ReleaseRate != want.ReleaseRate || got.Retain != want.Retain ||
			got.HugePages != want.HugePages || got.Placement != want.Placement || got.Reserve != want.Reserve {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
		name := o.Name
		if name == "" {
			name = "child"
		}
		if c.name != parent.name+"/"+name {
			t.Errorf("%s: the name is %q", what, c.name)
		}
	}
	check("nothing of its own", Options{}, all)
	check("all of its own", own, own)
	limited := all
	limited.Reserve = 0
	check("a limit of its own", Options{Limit: mib}, limited)
	parent = open(t, Options{Name: "limited", Limit: 4 * mib, ReleaseDelay: time.Hour, Reserve: 32 * mib})
	check("a limit above", Options{}, Options{ReleaseDelay: time.Hour})
}

// TestReallocNewPlace: what grows above 16 KiB becomes a run of pages, which can grow on;
// all else is a block of a class.
func TestReallocNewPlace(t *testing.T) {
	a := open(t, Options{})
	for _, row := range []struct {
		from, to int
		pages    bool
	}{{100, 16 << 10, false}, {100, 16<<10 + 1, true}, {17 << 10, 100 << 10, true}, {100 << 10, 20 << 10, false}, {100, 200, false}, {200_000, 1000, false}} {
		b := must(t)(a.Realloc(must(t)(a.Alloc(row.from)), row.to))
		p := unsafe.Pointer(unsafe.SliceData(b))
		if pages := a.heap.IsLarge(p); pages != row.pages || len(b) != row.to {
			t.Errorf("from %d to %d bytes: a run of pages is %v, want %v", row.from, row.to, pages, row.pages)
		}
		if want := GoodSize(row.to); !row.pages && cap(b) != want || row.pages && cap(b)%arena.PageSize != 0 {
			t.Errorf("from %d to %d bytes: a capacity of %d", row.from, row.to, cap(b))
		}
		a.Free(b)
	}
	checkQuiet(t, a, 0)
}
