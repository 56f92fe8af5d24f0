package apimodel

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// edge is how many bytes at each end of a large block checkAll looks at.
const edge = 8 << 10

// checkAll checks contents and figures between two operations; whole says that it
// looks at large blocks as a whole.
func (w *world) checkAll(whole bool) {
	for i, b := range w.live {
		memory := b.b[:cap(b.b)]
		if i > 0 {
			w.checkApart(w.live[i-1], b, "live blocks")
		}
		if whole || len(memory) <= 4*edge {
			checkFilled(memory, b.seed, b.owner.name)
			continue
		}
		checkFilled(memory[:edge], b.seed, b.owner.name)
		if at := firstOther(memory, b.seed, len(memory)-edge); at >= 0 {
			fail("%s: byte %d of %d at %#x has changed", b.owner.name, at, len(memory), b.address())
		}
	}
	for _, c := range w.caches {
		c.check()
	}
	for _, m := range w.all {
		m.check(w)
	}
}

// expected returns the bytes of an allocator that are live.
func (w *world) expected(m *allocator) (live int64) {
	for _, b := range w.blocks {
		if b.owner == m {
			live += int64(cap(b.b))
		}
	}
	if m.reclaim != nil {
		live += m.reclaim.bytes()
	}
	return live + m.base + m.regions + m.caches
}

// check compares the figures of an allocator with the model, and with each other.
func (m *allocator) check(w *world) {
	if m.closed {
		s := m.a.Stats()
		check(s.Live == 0 && s.Backed == 0 && s.Charged == 0 && s.Reserved == 0 && s.Metadata == 0 && s.Name == m.name, "Stats of the closed %s: %+v", m.name, s)
		for range m.a.Slabs() {
			fail("a closed allocator has slabs")
		}
		return
	}
	live := w.expected(m)
	for try := 0; ; try++ {
		s := m.a.Stats()
		wrong := m.wrong(w, &s, live)
		if wrong == "" {
			break
		}
		// The background goroutine moves memory from one figure to another.
		if w.isQuiet(m) || try == 1000 {
			fail("%s: %s\n%v", m.name, wrong, s)
		}
		runtime.Gosched()
		if try > 10 {
			time.Sleep(time.Millisecond)
		}
	}
	var names []string
	for s := range m.a.Budgets() {
		names = append(names, s.Name)
		check(s.Limit == 0 || s.Charged <= s.Limit, "%d bytes are charged to %s, above its limit of %d", s.Charged, s.Name, s.Limit)
		check(s.Charged >= 0, "%d bytes are charged to %s", s.Charged, s.Name)
	}
	want := w.below(m)
	check(names[0] == m.name, "Budgets of %s begins with %s", m.name, names[0])
	slices.Sort(names)
	slices.Sort(want)
	check(slices.Equal(names, want), "Budgets of %s: %q, want %q", m.name, names, want)
}

// below returns the names of an allocator and those below it.
func (w *world) below(m *allocator) []string {
	names := []string{m.name}
	for _, other := range w.all {
		if other.parent == m && !other.closed {
			names = append(names, w.below(other)...)
		}
	}
	return names
}

// isQuiet reports whether no goroutine returns memory of m or those that share its limits.
func (w *world) isQuiet(m *allocator) bool {
	for _, other := range w.all {
		if !other.closed && other.root() == m.root() && !other.quiet {
			return false
		}
	}
	return true
}

// wrong says what in the figures is not as it should be, or "".
func (m *allocator) wrong(w *world, s *alloc.Stats, live int64) string {
	below := int64(0)
	for _, other := range w.all {
		if other.parent == m && !other.closed {
			below += other.a.Stats().Charged
		}
	}
	classes, inClasses, cached := int64(0), int64(0), int64(0)
	for c := range s.InUse() {
		classes += int64(c.Size) * c.Live
		inClasses += c.Live
		cached += int64(c.Size) * (c.VCPU + c.Transfer + c.Central)
	}
	atHand := int64(0)
	for slab := range m.a.Slabs() {
		atHand += slab.Bytes
	}
	nodes := alloc.NodeStats{}
	for n := range s.Nodes.All() {
		nodes.Backed += n.Backed
		nodes.Gone += n.Gone
		nodes.PageHeapFree += n.PageHeapFree
		nodes.Released += n.Released
	}
	switch {
	case s.Name != m.name:
		return "another name"
	case s.Live != live:
		return "another number of bytes is live than the model's " + itoa(live)
	case s.Backed+s.Gone != s.Live+s.CachedVCPU+s.CachedTransfer+s.CachedCentral+s.Tails+s.PageHeapFree:
		return "Backed + Gone is not the sum of the parts"
	case s.Charged != s.Backed+s.GoneCharged+below:
		return "Charged is not Backed + GoneCharged + that of the children, " + itoa(below)
	case s.Retained != s.Backed-s.Live-s.Tails && s.Backed >= s.Live+s.Tails:
		return "Retained is not Backed - Live - Tails"
	case s.Limit != m.limit:
		return "another limit than " + itoa(m.limit)
	case m.limit > 0 && s.Charged > m.limit:
		return "the limit is exceeded"
	case classes > s.Live || s.Live-classes < s.LargeBlocks*arena.PageSize:
		return "the live bytes of the classes, " + itoa(classes) + ", do not fit"
	case cached != s.CachedVCPU+s.CachedTransfer+s.CachedCentral:
		return "the free bytes of the classes do not make the cached ones, " + itoa(cached)
	case atHand != s.CachedVCPU:
		return "Slabs has another number of bytes than CachedVCPU, " + itoa(atHand)
	case s.DoubleFrees != 0:
		return "double frees, and there was none"
	case nodes.Backed != s.Backed || nodes.Gone != s.Gone || nodes.PageHeapFree != s.PageHeapFree || nodes.Released != s.Released:
		return "the nodes do not make the sum"
	case s.RoundingMost < 0 || s.RoundingMost > s.Live:
		return "RoundingMost is out of bounds"
	case s.GoneCharged < 0 || s.GoneCharged >= arena.PageSize*int64(max(1, s.Nodes.Len())):
		return "GoneCharged is out of bounds"
	}
	return ""
}

// trim returns the free memory of an allocator and compares what it says.
func (w *world) trim(m *allocator) {
	before := m.a.Stats()
	released, err := m.a.Trim(context.Background())
	if w.allowed(m, err, "Trim"); err != nil {
		return
	}
	after := m.a.Stats()
	if w.isQuiet(m) {
		// Not counted is what goes back as soon as it is free: because of a soft limit or
		// Retain, or since its page had been returned in part and the limit is full. Such
		// pages count as a whole when their span becomes free.
		fell, grew := before.Backed-after.Backed, after.Released-before.Released
		check(fell <= grew && released <= grew && released-fell <= before.Gone, "Trim of %s says %d bytes, Backed fell by %d, Released grew by %d, %d were gone", m.name, released, fell, grew, before.Gone)
		check(grew == released || before.Gone > 0 || w.eager(m), "Trim of %s says %d bytes, Released grew by %d", m.name, released, grew)
	}
	check(after.PageHeapFree == 0, "%d bytes of free pages stay after Trim of %s", after.PageHeapFree, m.name)
}

// eager reports whether m or one above has a soft limit or Retain.
func (w *world) eager(m *allocator) bool {
	return slices.ContainsFunc(m.chain(), func(above *allocator) bool { return above.eager })
}

// finish frees everything, and checks that it is back.
func (w *world) finish() {
	w.setFaults(0)
	w.checkAll(true)
	for _, r := range w.regions {
		r.release(w)
	}
	for _, c := range w.caches {
		c.end(w)
	}
	for i, b := range w.blocks {
		w.remove(b)
		w.team.on(i%(teamSize+1), func() { b.owner.a.Free(b.b) })
	}
	w.blocks = nil
	for _, m := range w.all {
		if m.reclaim != nil && !m.closed {
			m.reclaim.free(-1)
		}
	}
	w.settle()
	w.checkAll(true)
	check(len(w.live) == 0, "the model has blocks left")
	for _, m := range w.all {
		if !m.closed {
			w.trim(m)
		}
	}
	for _, m := range w.all {
		if m.closed || m.shared {
			continue
		}
		s := m.a.Stats()
		check(s.Live == 0, "%d bytes of %s are live at the end", s.Live, m.name)
		check(s.Backed == 0 && s.CachedVCPU == 0 && s.CachedTransfer == 0 && s.CachedCentral == 0 && s.Gone == 0,
			"%s is not empty at the end:\n%v", m.name, s)
	}
	// A page of which a part could not be returned, for lack of room in a limit and since
	// the system refused, is not looked at again before it is used.
	if osmem.CanRelease && !w.failing {
		w.checkNotResident()
	}
	w.closeAll()
}

// closeAll closes what is open, children first.
func (w *world) closeAll() {
	for i := len(w.all) - 1; i >= 0; i-- {
		if m := w.all[i]; !m.closed && m.a != shared {
			w.close(m)
		}
	}
	for _, m := range w.all {
		if m.closed {
			m.check(w)
		}
	}
}
