package arena

import (
	"errors"
	"math"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// newRegions returns a page heap of eight regions, of which it knows what the test says.
func newRegions(t *testing.T, policy HugePages, list ...region) *pageHeap {
	t.Helper()
	h := newPageHeap(t, 8*regionPages, math.MaxInt64>>pageShift)
	if err := h.spans.back(8*regionPages - firstPage); err != nil {
		t.Fatal(err)
	}
	h.spareHuge(policy)
	for i := range h.huge.list {
		h.huge.list[i] = region{}
	}
	copy(h.huge.list, list)
	return h
}

// TestSpareHuge: there is a region for each huge page of the range, also for the last part
// of one, and with HugeCollapse none is a huge page yet.
func TestSpareHuge(t *testing.T) {
	for _, policy := range []HugePages{HugeAdvise, HugeCollapse} {
		for pages, want := range map[uint32]int{2 * regionPages: 2, 2*regionPages + 1: 3, 3*regionPages - 1: 3, 3 * regionPages: 3} {
			for _, base := range []uint32{0, 5 * regionPages} {
				h := &pageHeap{base: base, end: base + pages}
				h.spareHuge(policy)
				if len(h.huge.list) != want || h.huge.base != base || h.huge.policy != policy {
					t.Errorf("%d pages: %d regions from page %d on, want %d from %d on", pages, len(h.huge.list), h.huge.base, want, base)
				}
				for number, r := range h.huge.list {
					if r != (region{small: policy == HugeCollapse}) {
						t.Errorf("%v: region %d is %+v", policy, number, r)
					}
				}
			}
		}
	}
}

// TestTouchedAround: with HugeAdvise a run takes what is free of the huge pages that it is
// the first to use, before it and behind it, within the free span.
func TestTouchedAround(t *testing.T) {
	used, small := region{used: 1}, region{small: true}
	for _, row := range []struct {
		name           string
		policy         HugePages
		list           []region
		run, length    uint32 // the free span
		first, pages   uint32
		before, behind uint32
	}{
		{"in one region", HugeAdvise, nil, 300, 600, 400, 50, 100, 62},
		{"from the first page on", HugeAdvise, nil, 300, 600, 300, 50, 0, 162},
		{"up to the last page", HugeAdvise, nil, 300, 600, 850, 50, 82, 0},
		{"the span begins and ends in the region", HugeAdvise, nil, 300, 150, 400, 10, 100, 40},
		{"over regions", HugeAdvise, nil, 300, 600, 500, 300, 200, 100},
		{"a whole region", HugeAdvise, nil, 256, 512, 256, 256, 0, 0},
		{"the region is used", HugeAdvise, []region{{}, used}, 300, 600, 400, 50, 0, 0},
		{"the region is small", HugeAdvise, []region{{}, small}, 300, 600, 400, 50, 0, 0},
		{"the first is used", HugeAdvise, []region{{}, used}, 300, 600, 500, 300, 0, 100},
		{"the first is small", HugeAdvise, []region{{}, small}, 300, 600, 500, 300, 0, 100},
		{"the last is used", HugeAdvise, []region{3: used}, 300, 600, 500, 300, 200, 0},
		{"the last is small", HugeAdvise, []region{3: small}, 300, 600, 500, 300, 200, 0},
		{"another policy", HugeCollapse, nil, 300, 600, 400, 50, 0, 0},
	} {
		h := newRegions(t, row.policy, row.list...)
		before, behind := h.touched(row.run, &span{pages: row.length}, row.first, row.pages)
		if before != row.before || behind != row.behind {
			t.Errorf("%s: %d pages before and %d behind are touched, want %d and %d", row.name, before, behind, row.before, row.behind)
		}
	}
	h := newPageHeap(t, 8*regionPages, 0)
	if before, behind := h.touched(300, &span{pages: 600}, 400, 50); before != 0 || behind != 0 {
		t.Errorf("without regions %d and %d pages", before, behind)
	}
}

// TestSkipToUsed: a run is cut from the end of a free span that lies on a huge page in use,
// if it fits there; its beginning comes first.
func TestSkipToUsed(t *testing.T) {
	const run, length = 300, 600 // regions 1 to 3: 212 pages of the first, 132 of the last
	used := region{used: 1}
	for _, row := range []struct {
		name  string
		list  []region
		pages uint32
		skip  uint32
	}{
		{"none is used", nil, 10, 0},
		{"the first is", []region{1: used}, 10, 0},
		{"the last is", []region{3: used}, 10, length - 10},
		{"the last is, and it fits exactly", []region{3: used}, 132, length - 132},
		{"the last is too short", []region{3: used}, 133, 0},
		{"both are", []region{1: used, 3: used}, 10, 0},
		{"both are, and the first has exactly room", []region{1: used, 3: used}, 100, 0},
		{"the one between is", []region{2: used}, 10, 0},
		{"a whole region", []region{3: used}, regionPages, 0},
		{"more", []region{3: used}, regionPages + 1, 0},
	} {
		h := newRegions(t, HugeAdvise, row.list...)
		*h.spans.at(run) = span{pages: length}
		if skip := h.skip(run, row.pages); skip != row.skip {
			t.Errorf("%s: %d pages skip %d, want %d", row.name, row.pages, skip, row.skip)
		}
	}
	// The first has 12 pages, the last 244.
	h := newRegions(t, HugeAdvise, []region{1: used, 2: used}...)
	*h.spans.at(500) = span{pages: 256}
	for pages, want := range map[uint32]uint32{12: 0, 13: 256 - 13, 244: 256 - 244, 245: 0} {
		if skip := h.skip(500, pages); skip != want {
			t.Errorf("%d pages skip %d, want %d", pages, skip, want)
		}
	}
	*h.spans.at(300) = span{pages: 200} // in one region
	if skip := h.skip(300, 10); skip != 0 {
		t.Errorf("in one region %d pages are skipped", skip)
	}
	plain := newPageHeap(t, 8*regionPages, 0)
	*plain.spans.at(run) = span{pages: length}
	if skip := plain.skip(run, 10); skip != 0 {
		t.Errorf("without regions %d pages are skipped", skip)
	}
}

// TestDenseAndFuller: half of a huge page in use makes it dense.
func TestDenseAndFuller(t *testing.T) {
	h := newRegions(t, HugeAdvise, region{}, region{used: halfRegion - 1}, region{used: halfRegion}, region{used: halfRegion, small: true}, region{used: regionPages})
	for number, want := range []bool{false, false, true, false, true} {
		if got := h.isDense(uint32(number)*regionPages + 5); got != want {
			t.Errorf("%+v is dense: %v", h.huge.list[number], got)
		}
	}
	const page = regionPages + 1
	if !h.fuller(2*page, page) || h.fuller(page, 2*page) || h.fuller(page, page+1) || h.fuller(3*page, 2*page) {
		t.Error("another region is fuller")
	}
	plain := newPageHeap(t, 8*regionPages, 0)
	if plain.isDense(5) || plain.fuller(page, 1) || plain.canCollapse() || plain.collapse(nil) {
		t.Error("there are huge pages where none are spared")
	}
}

// TestCollapseRounds: one round looks at 32 regions, and says whether there are more; of a
// region all pages are looked at, until one is gone.
func TestCollapseRounds(t *testing.T) {
	const count = 40
	h := newPageHeap(t, (count+2)*regionPages, math.MaxInt64>>pageShift)
	h.spareHuge(HugeCollapse)
	first, _, err := h.alloc(count*regionPages, regionPages)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[uint32]int{}
	lastPage := func(page uint32) bool {
		asked[page/regionPages]++
		return page%regionPages == regionPages-1
	}
	if !h.canCollapse() || !h.collapse(lastPage) || len(h.huge.full) != count-32 {
		t.Errorf("after a round %d regions wait, want %d", len(h.huge.full), count-32)
	}
	if h.collapse(lastPage) || h.canCollapse() || len(asked) != count {
		t.Errorf("after two rounds %d regions wait, and %d were looked at", len(h.huge.full), len(asked))
	}
	for number, pages := range asked {
		if r := h.huge.list[number]; pages != regionPages || r.queued || r.tries != 0 || !r.small || number < first/regionPages {
			t.Errorf("of region %d, %d pages were looked at; it is %+v", number, pages, r)
		}
	}
	// Regions that changed while they waited are not looked at.
	for name, change := range map[string]func(){
		"a huge page by now":  func() { h.huge.list[3].small = false },
		"not in use as whole": func() { h.huge.list[3].used-- },
		"a refusal":           func() { h.huge.failed = errors.New("refused") },
	} {
		h.huge.full, h.huge.list[3] = append(h.huge.full, 3), region{used: regionPages, small: true, queued: true}
		change()
		if h.collapse(func(uint32) bool { t.Errorf("%s: it is looked at", name); return true }) || h.huge.list[3].queued {
			t.Errorf("%s: it stays queued", name)
		}
		h.huge.failed = nil
	}
	h.huge.policy = HugeAdvise
	h.huge.full = append(h.huge.full, 3)
	if h.collapse(func(uint32) bool { t.Error("huge pages are made with HugeAdvise"); return true }) {
		t.Error("there is more to do with HugeAdvise")
	}
}

// TestStatsEquations: each figure from what the test has done.
func TestStatsEquations(t *testing.T) {
	m := newMachine(0, 1)
	h := openOn(t, m, 0)
	var objects []unsafe.Pointer
	class := ClassOf(100)
	for number := range 2 {
		m.node.Store(int64(number))
		for range 10 {
			object, err := h.Alloc(class)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, object)
		}
		if _, _, err := h.AllocLarge(300_000, 1); err != nil {
			t.Fatal(err)
		}
	}
	s := h.Stats()
	large := int64(PagesFor(300_000)) << pageShift
	size, below := int64(ClassSize(class)), int64(ClassSize(class-1))
	if s.Live != 20*size+2*large || s.LargeBlocks != 2 {
		t.Errorf("%d bytes live, and %d large blocks", s.Live, s.LargeBlocks)
	}
	if want := 20*(size-below-1) + 2*(PageSize-1); s.RoundingMost != want {
		t.Errorf("rounding is at most %d, want %d", s.RoundingMost, want)
	}
	k, c := &classes[class], &s.Classes[class]
	if tails := c.Spans * (int64(k.pages)<<pageShift - int64(k.perSpan)*size); s.Tails != tails || c.Spans < 1 {
		t.Errorf("tails of %d bytes, want %d of %d spans", s.Tails, tails, c.Spans)
	}
	if got := c.Live + c.VCPU + c.Transfer + c.Central; got != c.Spans*int64(k.perSpan) || c.Live != 20 {
		t.Errorf("%+v, of %d objects", c, c.Spans*int64(k.perSpan))
	}
	if s.CachedVCPU != c.VCPU*size || s.CachedTransfer != c.Transfer*size || s.CachedCentral != c.Central*size {
		t.Errorf("%d, %d and %d bytes are cached", s.CachedVCPU, s.CachedTransfer, s.CachedCentral)
	}
	if want := s.Backed - s.Live - s.Tails; s.Retained != want || want <= 0 {
		t.Errorf("%d bytes are retained, want %d", s.Retained, want)
	}
	if want := int64(h.memory.Size) + int64(h.pageMapMemory.Size) + int64(h.spans.memory.Size) + h.Magazines.Reserved(); s.Reserved != want {
		t.Errorf("%d bytes are reserved, want %d", s.Reserved, want)
	}
	pages := int64(0)
	backed := int64(0)
	for _, n := range h.nodes {
		pages += int64(n.pages.top - n.pages.base)
		backed += (n.pages.used + n.pages.resident) << pageShift
	}
	tables := pages * int64(pageMapBytes+1+unsafe.Sizeof(span{}))
	if want := h.Magazines.Footprint() + tables + h.spans.touched.count.Load()*int64(osmem.PageSize()); h.Metadata() != want || s.Metadata != want {
		t.Errorf("tables of %d bytes, want %d", s.Metadata, want)
	}
	if s.Backed != backed || s.Charged != backed || s.Limit != 0 || s.Gone != 0 {
		t.Errorf("%d bytes backed, %d charged, a limit of %d; want %d and none", s.Backed, s.Charged, s.Limit, backed)
	}
	nodes := 0
	for of := range s.Nodes.All() {
		n := h.nodes[nodes]
		if of.Node != n.number || of.Backed != (n.pages.used+n.pages.resident)<<pageShift || of.PageHeapFree != n.pages.resident<<pageShift {
			t.Errorf("%+v", of)
		}
		nodes++
	}
	if nodes != 2 {
		t.Errorf("%d nodes", nodes)
	}
	for _, object := range objects {
		h.Free(class, object)
	}
	released, err := h.Trim(func() bool { return true })
	after := h.Stats()
	if err != nil || osmem.CanRelease && (released <= 0 || after.Released != released) || after.Classes[class].Live != 0 {
		t.Errorf("%d bytes returned, %d counted, %d live, %v", released, after.Released, after.Classes[class].Live, err)
	}
}

// TestQueuedWhenFull: with HugeCollapse a region is queued once, when all its pages are in
// use, unless it is a huge page.
func TestQueuedWhenFull(t *testing.T) {
	for _, row := range []struct {
		policy HugePages
		before region
		pages  uint32
		queued bool
	}{
		{HugeCollapse, region{small: true}, regionPages, true},
		{HugeCollapse, region{small: true}, regionPages - 1, false},
		{HugeCollapse, region{small: true, used: 7}, regionPages - 7, true},
		{HugeCollapse, region{}, regionPages, false},
		{HugeCollapse, region{small: true, tries: collapseTries}, regionPages, false},
		{HugeAdvise, region{small: true}, regionPages, false},
	} {
		g := &regions{policy: row.policy, list: make([]region, 3)}
		g.list[1] = row.before
		g.count(regionPages, row.pages, true)
		if queued := len(g.full) == 1 && g.full[0] == 1; queued != row.queued || g.list[1].queued != row.queued || len(g.full) > 1 {
			t.Errorf("%v, %+v, %d pages more: %v wait", row.policy, row.before, row.pages, g.full)
		}
		if row.queued {
			g.count(regionPages, 1, false)
			if g.count(regionPages, 1, true); len(g.full) != 1 {
				t.Errorf("%v, %+v: queued %d times", row.policy, row.before, len(g.full))
			}
		}
	}
}
