package arena

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// hugeHeap is a page heap of regions whose pages are used one by one.
type hugeHeap struct {
	t *testing.T
	*pageHeap
}

// newHugeHeap returns a page heap that spares huge pages, of which all pages of so
// many regions are in use, each as a run of its own, and touched.
func newHugeHeap(t *testing.T, regions uint32) hugeHeap {
	t.Helper()
	h := hugeHeap{t, newPageHeap(t, (regions+1)*regionPages, math.MaxInt64>>pageShift)}
	h.spareHuge(HugeAdvise)
	for page := uint32(firstPage); page < regions*regionPages; page++ {
		first, _, err := h.alloc(1, 1)
		if err != nil || first != page {
			t.Fatalf("page %d instead of %d: %v", first, page, err)
		}
		h.bytesOf(page, 1)[0] = 1
	}
	return h
}

// leave frees the pages of a region but for the first ones.
func (h hugeHeap) leave(number, used uint32) {
	for page := number*regionPages + used; page < (number+1)*regionPages; page++ {
		h.release(page)
	}
}

// there returns which regions have free pages that were not returned.
func (h hugeHeap) there() (list []uint32) {
	for number := range uint32(len(h.huge.list)) {
		for page := max(number*regionPages, firstPage); page < min((number+1)*regionPages, h.top); page++ {
			if h.huge.list[number].used < regionPages && h.bytesOf(page, 1)[0] != 0 && h.isFreePage(page) {
				list = append(list, number)
				break
			}
		}
	}
	return list
}

// isFreePage walks over the spans.
func (h hugeHeap) isFreePage(page uint32) bool {
	for first := h.first; ; first += h.spans.at(first).pages {
		if s := h.spans.at(first); page < first+s.pages {
			return s.state == spanFree
		}
	}
}

// TestHugeOrder returns memory piece by piece: of huge pages that nobody uses and of
// broken ones before others, then of sparse ones, and of dense ones only if it must.
func TestHugeOrder(t *testing.T) {
	h := newHugeHeap(t, 8)
	const dense, broken, free, sparse, full = 1, 2, 4, 5, 7
	h.leave(dense, 200)
	h.leave(broken, 200)
	h.leave(free, 0)
	h.leave(sparse, 20)
	h.huge.list[broken].small = true
	want := func(what string, regions ...uint32) {
		t.Helper()
		if got := h.there(); !sameNumbers(got, regions) {
			t.Fatalf("%s: free memory is left in regions %v, want %v", what, got, regions)
		}
		mustHold(t, h.checkInvariants())
	}
	want("at first", dense, broken, free, sparse)
	for i := 0; h.huge.broken == 0; i++ {
		left := h.there()
		if !sameNumbers(left, []uint32{dense, sparse}) {
			h.returnPages(1, false)
		} else {
			break
		}
		if i > 10 {
			t.Fatalf("it does not end: %v", left)
		}
	}
	want("what breaks nothing is gone", dense, sparse)
	if h.huge.broken != 0 || !h.canReturn() {
		t.Errorf("%d huge pages are broken", h.huge.broken)
	}
	h.returnPages(math.MaxInt32, false)
	want("the sparse one", dense)
	if h.huge.broken != 1 || h.canReturn() {
		t.Errorf("%d huge pages are broken, want 1; more would go: %t", h.huge.broken, h.canReturn())
	}
	h.trim(func() bool { return true })
	want("all")
	if h.huge.broken != 2 || h.resident != 0 {
		t.Errorf("%d huge pages are broken, want 2; %d pages resident", h.huge.broken, h.resident)
	}
	if h.huge.list[full].small || !h.huge.list[dense].small || h.huge.list[free].small {
		t.Error("which regions are huge pages is wrong")
	}
}

func sameNumbers(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestHugePartStaysDirty returns the part of a free run that is a huge page of its own:
// the rest still holds old bytes, and says so to whoever takes it.
func TestHugePartStaysDirty(t *testing.T) {
	h := newHugeHeap(t, 4)
	h.leave(1, 200)
	h.leave(2, 0)
	h.returnPages(math.MaxInt32, false)
	if got := h.there(); !sameNumbers(got, []uint32{1}) {
		t.Fatalf("free memory is left in regions %v, want 1 alone", got)
	}
	first, dirty, err := h.alloc(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if h.huge.of(first) != 1 || h.bytesOf(first, 1)[0] == 0 {
		t.Fatalf("page %d was returned", first)
	}
	if !dirty {
		t.Errorf("page %d holds old bytes, and passes for zero", first)
	}
}

// TestHugeAfterBreak: what lay on a huge page that has been broken since can go first.
func TestHugeAfterBreak(t *testing.T) {
	h := newHugeHeap(t, 4)
	h.leave(1, 200)
	h.leave(2, 250)
	h.returnPages(math.MaxInt32, false)
	if got := h.there(); !sameNumbers(got, []uint32{1, 2}) {
		t.Fatalf("dense ones have been broken: %v", got)
	}
	h.breakUp(regionPages, regionPages+1) // as a sweep does in a span that is in use
	h.returnPages(1, false)
	if got := h.there(); !sameNumbers(got, []uint32{2}) {
		t.Fatalf("free memory is left in regions %v, want 2 alone", got)
	}
	mustHold(t, h.checkInvariants())
}

// TestHugeFill: new runs come to lie on huge pages that are partly used, the fuller
// ones first.
func TestHugeFill(t *testing.T) {
	h := newHugeHeap(t, 6)
	h.leave(1, 250) // 6 free
	h.leave(3, 0)
	h.leave(4, 250)
	h.release(4 * regionPages) // joins region 3's, and is at its end
	count := func(number uint32) int { return int(h.huge.list[number].used) }
	for range 12 {
		if _, _, err := h.alloc(1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if count(1) != regionPages || count(4) != regionPages-1 || count(3) != 0 {
		t.Errorf("%d, %d and %d pages used in regions 1, 4 and 3; want %d, %d and 0", count(1), count(4), count(3), regionPages, regionPages-1)
	}
	if first, _, err := h.alloc(1, 1); err != nil || first != 4*regionPages {
		t.Errorf("page %d, %v: the end of the free span is on a huge page in use", first, err)
	}
	mustHold(t, h.checkInvariants())
	h = newHugeHeap(t, 6)
	h.leave(1, 252)
	h.leave(4, 252)
	h.release(4 * regionPages) // now 251
	h.release(4*regionPages + 2)
	if first, _, err := h.alloc(4, 1); err != nil || first/regionPages != 1 {
		t.Errorf("page %d, %v: region 1 is fuller", first, err)
	}
	mustHold(t, h.checkInvariants())
}

// TestHugeCounts: with HugeAdvise a run takes all of the huge page that it is the
// first of, and only then.
func TestHugeCounts(t *testing.T) {
	h := newPageHeap(t, 8*regionPages, math.MaxInt64>>pageShift)
	h.spareHuge(HugeAdvise)
	for step, want := range []int64{regionPages - firstPage, regionPages - firstPage, 2*regionPages - firstPage} {
		pages := uint32(10)
		if step == 1 {
			pages = regionPages - firstPage - 10
		}
		if _, _, err := h.alloc(pages, 1); err != nil {
			t.Fatal(err)
		}
		if got := h.used + h.resident; got != want || h.budget.charged.Load() != want {
			t.Errorf("step %d: %d pages are counted, %d charged, want %d", step, got, h.budget.charged.Load(), want)
		}
		mustHold(t, h.checkInvariants())
	}
}

// TestHugeSoftNeverBreaksDense plays at random, and looks at what is broken.
func TestHugeSoftNeverBreaksDense(t *testing.T) {
	m := newPageModel(t, 16*regionPages, math.MaxInt64>>pageShift)
	g := func() *regions { return m.heap.huge }
	m.heap.spareHuge(HugeAdvise)
	for range 4000 {
		if m.random.IntN(3) > 0 {
			m.alloc()
		} else if len(m.runs) > 0 {
			m.release(m.random.IntN(len(m.runs)))
		}
		if m.random.IntN(10) > 0 {
			continue
		}
		before := append([]region{}, g().list...)
		m.heap.returnPages(int64(m.random.IntN(300)), false)
		for number, r := range g().list {
			if r.small && !before[number].small && r.used >= halfRegion {
				t.Fatalf("region %d is broken with %d pages in use", number, r.used)
			}
		}
		mustHold(t, m.heap.checkInvariants())
		m.checkUsed()
	}
}

// TestChooseHuge asks for what kernels have and have not.
func TestChooseHuge(t *testing.T) {
	here, missing := osmem.HugeInfo{Size: osmem.Align}, errors.New("none")
	always := osmem.HugeInfo{Size: osmem.Align, Always: true}
	for _, row := range []struct {
		name   string
		asked  HugePages
		limit  int64
		info   osmem.HugeInfo
		err    error
		want   HugePages
		reason string
	}{
		{"default", HugeSystem, 0, here, nil, HugeSystem, ""},
		{"default, limit", HugeSystem, 1 << 20, here, nil, HugeNever, ""},
		{"never", HugeNever, 0, here, nil, HugeNever, ""},
		{"none there", HugeAdvise, 0, osmem.HugeInfo{}, missing, HugeSystem, "none"},
		{"none there, limit", HugeCollapse, 1 << 20, osmem.HugeInfo{}, missing, HugeNever, "none"},
		{"of another size", HugeAdvise, 0, osmem.HugeInfo{Size: 32 << 20}, nil, HugeSystem, "are of 32 MiB"},
		{"always, limit", HugeCollapse, 1 << 20, always, nil, HugeNever, "of all that is touched"},
	} {
		m := newMachine(0)
		m.huge = func() (osmem.HugeInfo, error) { return row.info, row.err }
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: MinReserve, Budget: NewBudget("test", nil, row.limit, 0), Huge: row.asked, machine: &m.machine}); err != nil {
			t.Fatal(err)
		}
		s := h.Stats()
		if s.HugePages != row.want.String() || !strings.Contains(s.HugePagesReason, row.reason) || row.reason == "" && s.HugePagesReason != "" {
			t.Errorf("%s: %s, since %q; want %v, %q", row.name, s.HugePages, s.HugePagesReason, row.want, row.reason)
		}
		mustHold(t, errors.Join(h.CheckInvariants(), h.Close()))
	}
}

// TestHeapModelHuge plays with heaps that spare huge pages, with upkeep.
func TestHeapModelHuge(t *testing.T) {
	for _, test := range []struct {
		policy HugePages
		limit  int64
	}{{HugeAdvise, 0}, {HugeCollapse, 0}, {HugeCollapse, 12 << 20}} {
		h := new(Heap)
		if err := h.Open(Config{Name: "test", Reserve: 128 << 20, Budget: NewBudget("test", nil, test.limit, 0), Huge: test.policy}); err != nil {
			t.Fatal(err)
		}
		m := &heapModel{t: t, random: steady.Random(t), heap: h, most: 10 << 20}
		for range 8 {
			h.ReleaseAfter(2 * time.Millisecond)
			for range 2000 {
				m.step()
			}
			h.upkeep.end()
			checkQuiet(t, h, m.live)
			h.Trim(func() bool { return true })
			checkQuiet(t, h, m.live)
		}
		for len(m.blocks) > 0 {
			m.free(0)
		}
		t.Logf("%v: %s, %d collapsed, %d broken", test.policy, h.Stats().HugePages, h.Stats().HugeCollapsed, h.Stats().HugeBroken)
		checkQuiet(t, h, 0)
		mustHold(t, h.Close())
	}
}

// TestCollapseQueue: regions are collapsed that are in use as a whole, but for those
// of which something is gone; and one that nobody used is made of OS pages again.
func TestCollapseQueue(t *testing.T) {
	h := newPageHeap(t, 8*regionPages, math.MaxInt64>>pageShift)
	h.spareHuge(HugeCollapse)
	first, _, err := h.alloc(4*regionPages, regionPages)
	if err != nil {
		t.Fatal(err)
	}
	region := h.huge.of(first)
	if !h.canCollapse() || len(h.huge.full) != 4 {
		t.Fatalf("%d regions wait, want 4", len(h.huge.full))
	}
	var asked []uint32
	h.collapse(func(page uint32) bool {
		if page%regionPages == 0 {
			asked = append(asked, h.huge.of(page))
		}
		return true
	})
	if h.canCollapse() || len(asked) != 4 || h.huge.collapsed != 0 || h.huge.failed != nil || !h.huge.list[region].small {
		t.Errorf("%d regions were looked at, %d collapsed, %v; some of all is gone", len(asked), h.huge.collapsed, h.huge.failed)
	}
	h.huge.list[region].small = false // as if
	h.release(first)
	h.returnPages(math.MaxInt32, false)
	if !h.huge.list[region].small || h.resident != 0 || h.huge.broken != 0 {
		t.Errorf("a region that was returned is still a huge page; %d pages resident, %d broken", h.resident, h.huge.broken)
	}
	mustHold(t, h.checkInvariants())
}

// TestHugeAfterBreakAtEitherEnd: a free span that was kept for the huge pages at its ends
// is a candidate again when the one or the other is broken.
func TestHugeAfterBreakAtEitherEnd(t *testing.T) {
	for _, broken := range []uint32{1, 2} {
		h := newHugeHeap(t, 4)
		// One free span from the last part of region 1 to the first of region 2, each of
		// which is dense.
		for page := uint32(regionPages + 200); page < 2*regionPages+50; page++ {
			h.release(page)
		}
		h.returnPages(math.MaxInt32, false)
		if got := h.there(); !sameNumbers(got, []uint32{1, 2}) {
			t.Fatalf("dense ones have been broken: %v", got)
		}
		used := broken*regionPages + 100 // in use in both
		h.breakUp(used, used+1)
		h.returnPages(math.MaxInt32, false)
		if got := h.there(); !sameNumbers(got, []uint32{3 - broken}) {
			t.Errorf("region %d is broken: free memory is left in regions %v, want %d alone", broken, got, 3-broken)
		}
		mustHold(t, h.checkInvariants())
	}
}

// TestCollapseIsTriedThreeTimes: a region that no huge page could be made of is queued
// again when it has come to be in use as a whole once more, three times in all, until its
// memory is returned. A refusal of the kernel ends it for all.
func TestCollapseIsTriedThreeTimes(t *testing.T) {
	h := newPageHeap(t, 8*regionPages, math.MaxInt64>>pageShift)
	h.spareHuge(HugeCollapse)
	g := h.huge
	const region = 1
	busy := errors.New("busy")
	if osmem.IsRefusal(busy) {
		return // every error is for good where there are no huge pages
	}
	fill := func() bool {
		first, _, err := h.alloc(regionPages, regionPages)
		if err != nil || g.of(first) != region {
			t.Fatalf("page %d, %v", first, err)
		}
		queued := len(g.full) == 1
		if queued != g.list[region].queued {
			t.Fatalf("%d regions wait, and region %d says %v", len(g.full), region, g.list[region].queued)
		}
		if queued {
			g.full, g.list[region].queued = g.full[:0], false
			g.tried(region, busy)
		}
		h.release(first)
		return queued
	}
	for turn := range 5 {
		if queued := fill(); queued != (turn < 3) {
			t.Errorf("turn %d: queued is %v", turn, queued)
		}
	}
	if g.collapsed != 0 || g.failed != nil || !g.list[region].small {
		t.Errorf("after failures %d are collapsed, and %v", g.collapsed, g.failed)
	}
	g.returned(g.begin(region), g.begin(region+1))
	if !fill() {
		t.Error("a region whose memory was returned is not tried anew")
	}
	g.list[region].small = true
	if g.tried(region, nil); g.collapsed != 1 || g.list[region].small {
		t.Errorf("after a success %d are collapsed, and the region is small: %v", g.collapsed, g.list[region].small)
	}
}

// TestRegionsOfPages: pages in use are counted in the regions that they lie in.
func TestRegionsOfPages(t *testing.T) {
	const base = 3 * regionPages
	g := &regions{base: base, list: make([]region, 4)}
	used := func(want ...uint16) {
		t.Helper()
		for number, r := range g.list {
			if r.used != want[number] {
				t.Errorf("region %d has %d pages in use, want %d", number, r.used, want[number])
			}
		}
	}
	g.count(base+10, 5, true)
	used(5, 0, 0, 0)
	g.count(base+regionPages-1, regionPages+2, true)
	used(6, regionPages, 1, 0)
	g.count(base+3*regionPages, regionPages, true)
	used(6, regionPages, 1, regionPages)
	g.count(base+regionPages-1, 2, false)
	used(5, regionPages-1, 1, regionPages)
	if g.of(base) != 0 || g.of(base+regionPages-1) != 0 || g.of(base+regionPages) != 1 || g.begin(2) != base+2*regionPages {
		t.Error("a page lies in another region")
	}
	for _, row := range []struct {
		r      region
		sparse bool
	}{{region{}, false}, {region{used: 1}, true}, {region{used: halfRegion - 1}, true}, {region{used: halfRegion}, false}, {region{used: 1, small: true}, false}} {
		if row.r.isSparse() != row.sparse {
			t.Errorf("%+v: sparse is %v", row.r, row.r.isSparse())
		}
	}
}

// TestRegionsReturned: a region that was returned as a whole, and is not in use, is as new;
// of one that is a huge page and was returned in part, the rest is broken, if any is used.
func TestRegionsReturned(t *testing.T) {
	for _, policy := range []HugePages{HugeAdvise, HugeCollapse} {
		for _, row := range []struct {
			name       string
			before     region
			begin, end uint32 // pages of region 1
			after      region
			broken     int64
			fresh      int
		}{
			{"whole", region{tries: 2}, 0, regionPages, region{small: policy == HugeCollapse}, 0, 0},
			{"whole but in use", region{used: 1, tries: 2}, 0, regionPages, region{used: 1, small: true, fresh: true, tries: 2}, 1, 1},
			{"without the first page", region{}, 1, regionPages, region{small: true, fresh: true}, 0, 1},
			{"without the last page", region{}, 0, regionPages - 1, region{small: true, fresh: true}, 0, 1},
			{"one page", region{used: 7}, 5, 6, region{used: 7, small: true, fresh: true}, 1, 1},
			{"small before", region{used: 7, small: true}, 5, 6, region{used: 7, small: true}, 0, 0},
			{"known to be fresh", region{used: 7, fresh: true}, 5, 6, region{used: 7, small: true, fresh: true}, 1, 0},
			{"nothing", region{used: 7}, 5, 5, region{used: 7}, 0, 0},
		} {
			g := &regions{policy: policy, list: make([]region, 3)}
			g.list[1] = row.before
			g.returned(regionPages+row.begin, regionPages+row.end)
			if g.list[1] != row.after || g.broken != row.broken || len(g.fresh) != row.fresh || g.list[0] != (region{}) || g.list[2] != (region{}) {
				t.Errorf("%v, %s: %+v, %d broken, %d fresh; want %+v, %d and %d", policy, row.name, g.list, g.broken, len(g.fresh), row.after, row.broken, row.fresh)
			}
		}
	}
}
