package apimodel

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/arena"
)

var blockActions = []action{
	{"alloc", 14, (*world).alloc},
	{"aligned", 5, (*world).aligned},
	{"wait", 2, (*world).wait},
	{"waitForFree", 1, (*world).waitForFree},
	{"batch", 4, (*world).batch},
	{"room", 5, (*world).allocRoom},
	{"fillUp", 4, (*world).fillUp},
	{"free", 16, (*world).free},
	{"freeBatch", 4, (*world).freeBatch},
	{"realloc", 10, (*world).realloc},
	{"reallocEmpty", 1, (*world).reallocEmpty},
	{"trim", 2, (*world).trimOp},
	{"trimCancelled", 1, (*world).trimCancelled},
	{"questions", 1, (*world).questions},
	{"spare", 3, (*world).spare},
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// mustPanicAsMake checks that a call with a negative length panics as make does.
func mustPanicAsMake(what string, n int, call func()) {
	want, _ := panicOf(func() { _ = make([]byte, n) }).(error)
	got, _ := panicOf(call).(error)
	check(got != nil && got.Error() == want.Error(), "%s of %d: panic with %v, want %v", what, n, got, want)
}

// alloc is Alloc, or AllocUninit if m is odd.
func (w *world) alloc(o op) {
	m := w.open(o)
	if m == nil || !w.room(m, o.n) {
		return
	}
	w.allocOne(m, o.n, o.m%2 == 0)
}

// allocOne allocates n bytes and reports whether that worked.
func (w *world) allocOne(m *allocator, n int, zeroed bool) bool {
	call, what := m.a.AllocUninit, "AllocUninit"
	if zeroed {
		call, what = m.a.Alloc, "Alloc"
	}
	if n < 0 {
		mustPanicAsMake(what, n, func() { call(n) })
		return false
	}
	b, err := call(n)
	if err != nil {
		check(b == nil, "%s of %d bytes: a block and the error %v", what, n, err)
		w.refused(m, n, 1, err, what)
		return false
	}
	w.checkNew(m, b, n, zeroed, what)
	check(cap(b) == alloc.GoodSize(n), "%s of %d bytes: capacity %d, GoodSize %d", what, n, cap(b), alloc.GoodSize(n))
	w.keep(m, b, what)
	return true
}

// checkNew checks length, capacity, alignment and zero bytes of a new block.
func (w *world) checkNew(m *allocator, b []byte, n int, zeroed bool, what string) {
	check(b != nil && len(b) == n && cap(b) >= n, "%s of %d bytes: length %d, capacity %d, nil: %t", what, n, len(b), cap(b), b == nil)
	check(addressOf(b)%8 == 0, "%s of %d bytes at %#x: not aligned to 8", what, n, addressOf(b))
	if size := cap(b); size > 0 {
		check(m.a.UsableSize(b) == size && m.a.UsableSize(b[:0:0]) == size, "%s of %d bytes: capacity %d, UsableSize %d", what, n, size, m.a.UsableSize(b))
		check(m.a.Owns(b), "%s of %d bytes: %s does not own it", what, n, m.name)
		if size&(size-1) == 0 {
			check(addressOf(b)%uintptr(min(size, 8<<10)) == 0, "%s of %d bytes at %#x: not aligned to its size %d", what, n, addressOf(b), size)
		}
	}
	if zeroed {
		checkZero(b[:cap(b)], what)
	}
}

// aligned is AllocAligned.
func (w *world) aligned(o op) {
	m := w.open(o)
	align := 1 << (o.m % 24)
	if o.m >= 250 {
		align = 1 << (o.m%23 + 40)
	}
	if m == nil || !w.room(m, o.n) {
		return
	}
	if o.n < 0 {
		mustPanicAsMake("AllocAligned", o.n, func() { m.a.AllocAligned(o.n, align) })
		return
	}
	b, err := m.a.AllocAligned(o.n, align)
	if err != nil {
		check(b == nil, "AllocAligned(%d, %d): a block and the error %v", o.n, align, err)
		w.refused(m, max(o.n, 1), align, err, "AllocAligned")
		return
	}
	w.checkNew(m, b, o.n, true, "AllocAligned")
	check(addressOf(b)%uintptr(align) == 0, "AllocAligned(%d, %d) at %#x", o.n, align, addressOf(b))
	w.keep(m, b, "AllocAligned")
}

// refused checks the error of a call that wanted n bytes with an alignment from m.
func (w *world) refused(m *allocator, n, align int, err error, what string) {
	text := err.Error()
	check(strings.Contains(text, m.name), "%s: %q does not name %s", what, text, m.name)
	check(strings.Count(text, "alloc: ") == 1, "%s: %q says alloc: more than once", what, text)
	var limit *alloc.LimitError
	switch {
	case errors.Is(err, alloc.ErrLimit):
		check(errors.As(err, &limit), "%s: %v is no *LimitError", what, err)
		w.refusedByLimit(m, n, limit, what)
	case w.faulty && errors.Is(err, alloc.ErrNoMemory):
	case errors.Is(err, alloc.ErrTooLarge):
		check(int64(n) > m.reserve || int64(align) > m.reserve, "%s of %d bytes with an alignment of %d from %s, which reserves %d: %v", what, n, align, m.name, m.reserve, err)
	case errors.Is(err, alloc.ErrNoMemory):
		check(int64(n) <= m.reserve && int64(align) <= m.reserve, "%s of %d bytes with an alignment of %d from %s, which reserves %d: %v", what, n, align, m.name, m.reserve, err)
		const overhead = 2 << 20
		if w.expected(m) == 0 {
			check(int64(n)+int64(align)+overhead > m.reserve, "%s of %d bytes from the empty %s, which reserves %d: %v", what, n, m.name, m.reserve, err)
		}
		check(w.expected(m)+int64(n)+int64(align) > m.reserve/256, "%s of %d bytes with %d live from %s, which reserves %d: %v", what, n, w.expected(m), m.name, m.reserve, err)
	default:
		fail("%s of %d bytes: %v, which is no documented error", what, n, err)
	}
}

// refusedByLimit checks a *LimitError, and that there was indeed no room.
func (w *world) refusedByLimit(m *allocator, n int, e *alloc.LimitError, what string) {
	var full *allocator
	for _, above := range m.chain() {
		if above.name == e.Name && above.limit == e.Limit {
			full = above
		}
	}
	check(full != nil && full.limit > 0, "%s from %s: %+v, which no allocator above has", what, m.name, e)
	check(e.InUse >= 0 && e.InUse <= e.Limit, "%s: %+v: more in use than the limit", what, e)
	check(e.Want > 0 && e.Want%arena.PageSize == 0, "%s of %d bytes: %+v", what, n, e)
	if !w.isQuiet(m) || w.faulty {
		return
	}
	check(e.InUse+e.Want > e.Limit, "%s: %+v: there is room", what, e)
	// What can be returned is looked for first, as long as that takes little time.
	if m.refusals++; m.refusals > maxRefusals || e.Want < e.Limit/16 {
		return
	}
	for _, other := range w.all {
		if !other.closed && other.root() == m.root() {
			w.trim(other)
		}
	}
	charged := full.a.Stats().Charged
	check(charged+e.Want > full.limit, "%s of %d bytes from %s: %+v, but after Trim %d bytes are charged", what, n, m.name, e, charged)
}

// maxRefusals is how many refusals of an allocator are surely not for lack of time.
const maxRefusals = 6

// allocRoom asks for just what the tightest limit leaves, and some pages more or less.
func (w *world) allocRoom(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	left := int64(-1)
	for _, above := range m.chain() {
		if above.limit > 0 {
			room := above.limit - above.a.Stats().Charged
			if left < 0 || room < left {
				left = room
			}
		}
	}
	if left < 0 {
		return
	}
	n := int(left) + (o.m%7-3)*arena.PageSize + o.b%3 - 1
	if n > 0 && n < mostLive && w.room(m, n) {
		w.allocOne(m, n, o.m%2 == 0)
	}
}

// fillUp allocates blocks until there is no room: of one size, or of ever smaller ones.
func (w *world) fillUp(o op) {
	m := w.open(o)
	if m == nil || o.n <= 0 {
		return
	}
	n := o.n
	if tightest := m.tightest(); tightest > 0 {
		n = max(n, int(min(tightest, mostLive)/50))
	}
	for range 100 {
		if !w.room(m, n) {
			return
		}
		if !w.allocOne(m, n, o.m%2 == 0) {
			if n /= 2; n < arena.PageSize/2 || o.m%4 < 2 {
				return
			}
		}
	}
}

// wait is AllocWait with a context that is done, or soon will be.
func (w *world) wait(o op) {
	m := w.open(o)
	if m == nil || o.n < 0 || !w.room(m, o.n) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	if o.m%3 == 0 {
		ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	}
	if o.m%3 == 1 {
		cancel()
	}
	defer cancel()
	if o.m%3 == 2 {
		time.AfterFunc(time.Millisecond, cancel)
	}
	b, err := m.a.AllocWait(ctx, o.n)
	if err == nil {
		w.checkNew(m, b, o.n, true, "AllocWait")
		w.keep(m, b, "AllocWait")
		return
	}
	check(b == nil, "AllocWait of %d bytes: a block and the error %v", o.n, err)
	var limit *alloc.LimitError
	if errors.As(err, &limit) && limit.Want <= limit.Limit {
		check(ctx.Err() != nil && errors.Is(err, ctx.Err()), "AllocWait of %d bytes: %v, which is not that of the context", o.n, err)
	} else {
		check(ctx.Err() == nil || !errors.Is(err, ctx.Err()), "AllocWait of %d bytes: %v, which waiting does not change", o.n, err)
	}
	w.refused(m, o.n, 1, err, "AllocWait")
}

// waitForFree has a call wait for memory that is freed meanwhile, by the thread of
// the test: everything in the tree, if need be.
func (w *world) waitForFree(o op) {
	m := w.open(o)
	if m == nil || o.n <= 0 || o.n > mostLive || w.faulty {
		return
	}
	const overhead = 512 << 10 // what is lost to fragments
	for _, above := range m.chain() {
		if above.limit > 0 && above.limit < int64(o.n)+overhead {
			return
		}
	}
	if int64(o.n)+overhead+2<<20 > m.reserve {
		return
	}
	for _, other := range w.all {
		if !other.closed && other.root() == m.root() && other.regions+other.caches > 0 {
			return
		}
	}
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		b, err := m.a.AllocWait(ctx, o.n)
		done <- result{b, err}
	}()
	for i := len(w.blocks) - 1; i >= 0; i-- {
		if b := w.blocks[i]; b.owner.root() == m.root() && len(done) == 0 {
			w.drop(b)
			b.owner.a.Free(b.b)
		}
	}
	if m.reclaim != nil && len(done) == 0 {
		m.reclaim.free(-1)
	}
	r := <-done
	if r.err != nil && m.limit == 0 && m.parent == nil {
		w.refused(m, o.n, 1, r.err, "AllocWait")
		return
	}
	check(r.err == nil, "AllocWait of %d bytes, while everything is freed: %v", o.n, r.err)
	w.checkNew(m, r.b, o.n, true, "AllocWait")
	w.keep(m, r.b, "AllocWait")
}

// batch is AllocBatch, or AllocBatchUninit if m is odd.
func (w *world) batch(o op) {
	m := w.open(o)
	count := []int{0, 1, 2, 3, 10, 63, 64, 65, 100, 130}[o.b%10]
	if m == nil || o.n > 0 && !w.room(m, o.n) || o.n > 0 && o.n < mostLive && (o.n*count > 2*mostLive || !w.room(m, o.n*count)) {
		return
	}
	zeroed, call := o.m%2 == 0, m.a.AllocBatchUninit
	if zeroed {
		call = m.a.AllocBatch
	}
	dst := make([][]byte, count)
	if o.n < 0 {
		if count > 0 {
			mustPanicAsMake("AllocBatch", o.n, func() { call(dst, o.n) })
		}
		return
	}
	filled, err := call(dst, o.n)
	check(filled >= 0 && filled <= count && (filled == count) == (err == nil), "AllocBatch: %d of %d blocks of %d bytes, and the error %v", filled, count, o.n, err)
	for i, b := range dst {
		if i >= filled {
			check(b == nil, "AllocBatch: %d blocks, but number %d is %v", filled, i, addressOf(b))
			continue
		}
		w.checkNew(m, b, o.n, zeroed, "AllocBatch")
		check(cap(b) == alloc.GoodSize(o.n), "AllocBatch of %d bytes: capacity %d", o.n, cap(b))
		w.keep(m, b, "AllocBatch")
	}
	if err != nil {
		w.refused(m, o.n, 1, err, "AllocBatch")
	}
}

// cut returns a slice that starts where the block starts.
func cut(b []byte, how int) []byte {
	switch how % 6 {
	case 0:
		return b[:cap(b)]
	case 1:
		return b[:0]
	case 2:
		return b[:0:0]
	case 3:
		return b[: cap(b)/2 : cap(b)/2]
	case 4:
		return b[:cap(b)/3]
	}
	return b
}

// free is Free of a slice that may have been cut.
func (w *world) free(o op) {
	b := w.pick(o)
	if b == nil {
		return
	}
	w.drop(b)
	b.owner.a.Free(cut(b.b, o.m))
}

// freeBatch is FreeBatch of blocks of one allocator, of one size or of several, with
// empty slices among them.
func (w *world) freeBatch(o op) {
	first := w.pick(o)
	if first == nil {
		return
	}
	var batch [][]byte
	for i := len(w.blocks) - 1; i >= 0 && len(batch) < 3+o.m%140; i-- {
		b := w.blocks[i]
		if b.owner == first.owner && (o.m%2 == 0 || cap(b.b) == cap(first.b)) {
			w.drop(b)
			batch = append(batch, cut(b.b, 5*(o.n&1)+o.m/8*(1-o.n&1)))
		}
		if o.m%5 == 0 && i%7 == 0 {
			batch = append(batch, nil)
		}
	}
	first.owner.a.FreeBatch(batch)
}

// realloc is Realloc, or ReallocUninit if m is odd, of a block whose length may have
// been cut.
func (w *world) realloc(o op) {
	b := w.pick(o)
	if b == nil || o.n > 0 && !w.room(b.owner, o.n) {
		return
	}
	m, old := b.owner, b.b
	if o.m%4 >= 2 {
		old = cut(old, o.m/4)
	}
	usable := cap(b.b)
	zeroed, call, what := o.m%2 == 0, m.a.ReallocUninit, "ReallocUninit"
	if zeroed {
		call, what = m.a.Realloc, "Realloc"
	}
	if o.n < 0 {
		mustPanicAsMake(what, o.n, func() { call(old, o.n) })
		return
	}
	kept := min(len(old), o.n)
	after, err := call(old, o.n)
	w.settle()
	if err != nil {
		check(after == nil, "%s to %d bytes: a block and the error %v", what, o.n, err)
		check(o.n > usable, "%s of %d usable bytes to %d: %v", what, usable, o.n, err)
		checkFilled(b.b[:usable], b.seed, what+" after an error")
		check(usable == 0 || m.a.UsableSize(b.b) == usable, "%s after an error: UsableSize %d, was %d", what, m.a.UsableSize(b.b), usable)
		w.refused(m, o.n, 1, err, what)
		return
	}
	check(after != nil && len(after) == o.n && cap(after) == m.a.UsableSize(after), "%s from %d to %d bytes: length %d, capacity %d, UsableSize %d",
		what, len(old), o.n, len(after), cap(after), m.a.UsableSize(after))
	if at := firstOther(after[:kept], b.seed, 0); at >= 0 {
		fail("%s from %d to %d bytes: byte %d is lost", what, len(old), o.n, at)
	}
	if zeroed {
		checkZero(after[kept:], what+" behind what is kept")
	}
	if usable > 0 && o.n > 0 && o.n <= usable && (o.n > usable/2 || alloc.GoodSize(o.n) == usable) {
		check(addressOf(after) == b.address(), "%s of %d usable bytes to %d has moved", what, usable, o.n)
	}
	w.forget(b)
	for i, other := range w.blocks {
		if other == b {
			w.blocks = append(w.blocks[:i], w.blocks[i+1:]...)
			break
		}
	}
	w.keep(m, after, what)
}

// reallocEmpty is Realloc of no block.
func (w *world) reallocEmpty(o op) {
	m := w.open(o)
	if m == nil || o.n < 0 || !w.room(m, o.n) {
		return
	}
	none := [][]byte{nil, {}}[o.b%2]
	if o.b%4 >= 2 {
		none, _ = m.a.Alloc(0)
	}
	b, err := m.a.Realloc(none, o.n)
	if err != nil {
		w.refused(m, o.n, 1, err, "Realloc")
		return
	}
	w.checkNew(m, b, o.n, true, "Realloc")
	w.keep(m, b, "Realloc")
}

func (w *world) trimOp(o op) {
	if m := w.open(o); m != nil {
		w.trim(m)
	}
}

func (w *world) trimCancelled(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	released, err := m.a.Trim(ctx)
	check(released == 0 && errors.Is(err, context.Canceled), "Trim with a context that is done: %d bytes and %v", released, err)
}

// allowed checks the error of a call that fails only with the system.
func (w *world) allowed(m *allocator, err error, what string) {
	check(err == nil || w.faulty, "%s of %s: %v", what, m.name, err)
}

// questions asks what changes nothing.
func (w *world) questions(o op) {
	if o.n >= 0 {
		good := alloc.GoodSize(o.n)
		check(good >= o.n && alloc.GoodSize(good) == good, "GoodSize(%d) is %d, and that of it %d", o.n, good, alloc.GoodSize(good))
		check(o.n == 0 || good < 2*arena.PageSize || good/8*7 <= o.n || good-o.n < arena.PageSize || o.n < arena.MaxSmall, "GoodSize(%d) is %d", o.n, good)
	}
	m, b := w.open(o), w.pick(o)
	if m == nil {
		return
	}
	own := make([]byte, 8)
	check(!m.a.Owns(own) && m.a.UsableSize(own) == 0 && !m.a.Owns(nil) && m.a.UsableSize(nil) == 0, "%s owns Go memory or nil", m.name)
	if b == nil || cap(b.b) == 0 {
		return
	}
	check(m.a.Owns(b.b) == (m == b.owner), "%s owns a block of %s: %t", m.name, b.owner.name, m.a.Owns(b.b))
	if m != b.owner {
		check(m.a.UsableSize(b.b) == 0, "%s knows the size of a block of %s", m.name, b.owner.name)
	}
	if at := 1 + o.m%cap(b.b); at < cap(b.b) {
		inside := b.b[at:cap(b.b)]
		check(m.a.Owns(inside) == (m == b.owner) && m.a.UsableSize(inside) == 0, "the middle of a block: Owns %t, UsableSize %d", m.a.Owns(inside), m.a.UsableSize(inside))
	}
}
