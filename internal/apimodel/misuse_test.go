package apimodel

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/arena"
)

var misuseActions = []action{
	{"freeInside", 3, (*world).freeInside},
	{"freeForeign", 2, (*world).freeForeign},
	{"freeOther", 2, (*world).freeOther},
	{"freeTwiceLarge", 2, (*world).freeTwiceLarge},
	{"freeStale", 1, (*world).freeStale},
	{"freeTwiceSmall", 1, (*world).freeTwiceSmall},
	{"freeTwiceInBatch", 2, (*world).freeTwiceInBatch},
	{"freeEmpty", 2, (*world).freeEmpty},
	{"putTwice", 1, (*world).putTwice},
	{"putWrong", 2, (*world).putWrong},
	{"wrongAlignment", 1, (*world).wrongAlignment},
}

// mustMisuse checks that a call panics with a *MisuseError about b, whose reason has
// the given word in it.
func mustMisuse(name string, b []byte, size int, reason string, call func()) {
	value := panicOf(call)
	e, ok := value.(*alloc.MisuseError)
	check(ok, "%s of %#x (%s): panic with %v, want a *MisuseError", name, addressOf(b), reason, value)
	check(e.Op == name && e.Addr == addressOf(b) && (e.Size == size || size == anySize) && strings.Contains(e.Reason, reason) && strings.Contains(e.Error(), name),
		"%s of %#x: %+v, want Size %d and %q", name, addressOf(b), *e, size, reason)
}

// freeInside frees an address in the middle of a block.
func (w *world) freeInside(o op) {
	b := w.pick(o)
	if b == nil || cap(b.b) < 2 {
		return
	}
	at := 1 + (o.m*o.m+o.n&0xffff)%(cap(b.b)-1)
	if o.m%3 == 0 {
		at = at&^(arena.PageSize-1) | at&7
	}
	if at == 0 {
		return
	}
	wrong := b.b[at:cap(b.b)]
	size := classSize(b)
	what := "the middle of a"
	mustMisuse("Free", wrong, size, what, func() { b.owner.a.Free(wrong) })
	mustMisuse("Free", wrong, size, what, func() { b.owner.a.Free(wrong[:1:1]) })
	mustMisuse("Realloc", wrong, size, what, func() { b.owner.a.Realloc(wrong, 10) })
	mustMisuse("ReallocUninit", wrong, size, what, func() { b.owner.a.ReallocUninit(wrong, 10) })
	mustMisuse("Free", wrong, size, what, func() { alloc.FreeSlice(b.owner.a, wrong) })
}

// classSize returns what a *MisuseError says of the class at an address in the middle
// of a block: 0 for a run of pages, and anySize where that cannot be told from a class.
func classSize(b *block) int {
	switch {
	case cap(b.b) > arena.MaxSmall:
		return 0
	case cap(b.b)%arena.PageSize == 0:
		return anySize
	}
	return cap(b.b)
}

const anySize = -1

var global [64]byte

// freeForeign frees memory of no allocator.
func (w *world) freeForeign(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	own := make([]byte, 1+o.m)
	for _, b := range [][]byte{own, global[:], global[8:16]} {
		mustMisuse("Free", b, 0, "", func() { m.a.Free(b) })
		mustMisuse("Realloc", b, 0, "", func() { m.a.Realloc(b, 100) })
		mustMisuse("Free", b, 0, "", func() { alloc.FreeSlice(m.a, b) })
		mustMisuse("Free", b, 0, "", func() { alloc.FreeOf(m.a, &b[0]) })
		mustMisuse("Free", b, 0, "", func() { m.a.FreeBatch([][]byte{nil, b}) })
	}
}

// freeOther frees a block of another allocator.
func (w *world) freeOther(o op) {
	m, b := w.open(o), w.pick(o)
	if m == nil || b == nil || cap(b.b) == 0 || b.owner == m {
		return
	}
	mustMisuse("Free", b.b[:cap(b.b)], 0, b.owner.name, func() { m.a.Free(b.b[:cap(b.b)]) })
	mustMisuse("Realloc", b.b[:cap(b.b)], 0, b.owner.name, func() { m.a.Realloc(b.b[:cap(b.b)], 10) })
}

// freeTwiceLarge frees a block above MaxSmall twice, which is always seen until
// something else lies there.
func (w *world) freeTwiceLarge(o op) {
	for at := range w.blocks {
		b := w.blocks[(at+o.b)%len(w.blocks)]
		if cap(b.b) <= arena.MaxSmall {
			continue
		}
		w.drop(b)
		a, again := b.owner.a, b.b[:cap(b.b)]
		a.Free(b.b)
		mustMisuse("Free", again, 0, "", func() { a.Free(again) })
		mustMisuse("Free", again, 0, "", func() { a.Free(again[:0:0][:0:0]) })
		mustMisuse("Realloc", again, 0, "", func() { a.Realloc(again, 10) })
		return
	}
}

// freeStale frees a slice of a large block that was shrunk where it is, and whose
// capacity is the old one.
func (w *world) freeStale(o op) {
	for at := range w.blocks {
		b := w.blocks[(at+o.b)%len(w.blocks)]
		if cap(b.b) <= 4*arena.PageSize || len(b.b) == 0 {
			continue
		}
		old, m := b.b[:cap(b.b)], b.owner
		n := arena.PageSize + 1 + o.m*o.n&0xffff%(cap(b.b)-2*arena.PageSize)
		w.drop(b)
		fill(old, b.seed)
		after, err := m.a.Realloc(old, n)
		check(err == nil, "Realloc of %d bytes to %d: %v", len(old), n, err)
		checkFilled(after, b.seed, "Realloc")
		if addressOf(after) == addressOf(old) && cap(after) < len(old) {
			mustMisuse("Free", old, cap(after), "capacity", func() { m.a.Free(old) })
			mustMisuse("Realloc", old, cap(after), "capacity", func() { m.a.Realloc(old, 10) })
		}
		w.keep(m, after, "Realloc")
		return
	}
}

// freeTwiceSmall frees a small block twice in a row, in an allocator that is given up
// if that is not seen, because the thread has come to another vCPU in between.
func (w *world) freeTwiceSmall(o op) {
	n := []int{8, 24, 64, 100, 1000, 4096, 9000, 200_000}[o.b%8]
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 100 {
		a, err := alloc.New(alloc.Options{Reserve: granule, ReleaseDelay: -1})
		if err != nil {
			check(w.faulty, "New: %v", err)
			return
		}
		b, err := a.Alloc(n)
		if err != nil {
			check(w.faulty, "Alloc: %v", err)
			a.Close()
			return
		}
		a.Free(cut(b, o.m))
		value := panicOf(func() { a.Free(cut(b, o.m/6)) })
		if value != nil {
			mustMisuse("Free", b, cap(b), "double free", func() { panic(value) })
			s := a.Stats()
			check(s.Live == 0, "%d bytes are live after a double free that was seen", s.Live)
		}
		a.Close()
		if value != nil {
			return
		}
	}
	fail("a double free of %d bytes was never seen in 100 tries", n)
}

// putTwice puts an object twice in a row, as freeTwiceSmall frees a block.
func (w *world) putTwice(op) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 100 {
		a, err := alloc.New(alloc.Options{Reserve: granule, ReleaseDelay: -1})
		if err != nil {
			check(w.faulty, "New: %v", err)
			return
		}
		c, err := alloc.NewCache(a, alloc.CacheOptions[[100]byte]{})
		var p *[100]byte
		if err == nil {
			p, err = c.Get()
		}
		if err != nil {
			check(w.faulty, "NewCache or Get: %v", err)
			a.Close()
			return
		}
		c.Put(p)
		value := panicOf(func() { c.Put(p) })
		if value != nil {
			mustMisuse("Put", p[:], c.Stats().BlockSize, "double put", func() { panic(value) })
			check(c.Stats().InUse == 0, "after a double Put: %+v", c.Stats())
		}
		a.Close()
		if value != nil {
			return
		}
	}
	fail("a double Put was never seen in 100 tries")
}

// freeTwiceInBatch has a batch in which a block is twice, anywhere, which frees none.
func (w *world) freeTwiceInBatch(o op) {
	m, first := w.open(o), w.pick(o)
	if first != nil {
		m = first.owner
	}
	var batch [][]byte
	for i, b := range w.blocks {
		if b.owner == m && cap(b.b) > 0 && len(batch) < []int{2, 10, 63, 70, 300}[o.m%5] {
			batch = append(batch, cut(b.b, i*o.m))
		}
	}
	if len(batch) == 0 {
		return
	}
	random := rand.New(rand.NewPCG(uint64(o.n), uint64(o.m)))
	random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	again := batch[random.IntN(len(batch))]
	batch = slices.Insert(batch, random.IntN(len(batch)+1), again[:cap(again)/2:cap(again)/2])
	if o.b%2 == 0 {
		batch = append(batch, nil, nil)
	}
	e, ok := panicOf(func() { m.a.FreeBatch(batch) }).(*alloc.MisuseError)
	check(ok && e.Op == "FreeBatch" && e.Addr == addressOf(again) && strings.Contains(e.Reason, "double free"),
		"FreeBatch of %d slices, one of them a second time: %+v, want a *MisuseError about %#x", len(batch), e, addressOf(again))
	check(e.Size == 0 || e.Size == m.a.UsableSize(again), "FreeBatch: %+v, of a block of %d bytes", e, m.a.UsableSize(again))
}

// freeEmpty frees what is no block, which is ignored.
func (w *world) freeEmpty(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	var array [10]uint64
	five := make([]byte, 5)
	for i, none := range [][]byte{nil, {}, make([]byte, 0, 10), five[5:], five[:0], five[2:2], global[:0]} {
		if value := panicOf(func() { m.a.Free(none) }); value != nil {
			fail("Free of the empty slice %d: panic with %v", i, value)
		}
		if value := panicOf(func() { m.a.FreeBatch([][]byte{none, none}) }); value != nil {
			fail("FreeBatch of the empty slice %d: panic with %v", i, value)
		}
		b, err := m.a.Realloc(none, 0)
		check(err == nil && len(b) == 0, "Realloc of the empty slice %d to 0 bytes: %v", i, err)
	}
	alloc.FreeSlice(m.a, array[:0])
	alloc.FreeSlice(m.a, array[10:])
}

// putWrong puts what is no object of a cache.
func (w *world) putWrong(o op) {
	c := w.pickCache(o)
	if c == nil || c.owner.closed {
		return
	}
	size := c.stats().BlockSize
	own := make([]byte, size)
	mustMisuse("Put", own, 0, "", func() { c.put(own) })
	for _, b := range w.blocks {
		switch {
		case len(b.b) == 0:
		case b.owner != c.owner:
			mustMisuse("Put", b.b, 0, "", func() { c.put(b.b) })
		case cap(b.b) != size:
			mustMisuse("Put", b.b, cap(b.b), "", func() { c.put(b.b) })
		}
	}
	if len(c.using) > 0 {
		b := c.using[o.b%len(c.using)].b
		mustMisuse("Put", b[1:], size, "", func() { c.put(b[1:]) })
	}
}

// wrongAlignment is AllocAligned with what is no power of two.
func (w *world) wrongAlignment(o op) {
	if m := w.open(o); m != nil {
		for _, align := range []int{0, -1, -8, 3, 12, 4097} {
			e, ok := panicOf(func() { m.a.AllocAligned(8, align) }).(*alloc.MisuseError)
			check(ok && e.Op == "AllocAligned", "AllocAligned with %d: %+v", align, e)
		}
	}
}
