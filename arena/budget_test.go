package arena

import (
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// checkCharged compares what the nodes count, in pages.
func checkCharged(t *testing.T, when string, want map[*Budget]int64) {
	t.Helper()
	for node, pages := range want {
		if got := node.charged.Load(); got != pages {
			t.Errorf("%s: %s counts %d pages, want %d", when, node.name, got, pages)
		}
	}
}

// TestBudgetTree charges the nodes of a tree up to each limit.
func TestBudgetTree(t *testing.T) {
	const page = PageSize
	root := NewBudget("root", nil, 10*page+page-1, 0)
	middle := NewBudget("middle", root, 0, 0)
	leaf := NewBudget("leaf", middle, 6*page, 0)
	charge := func(node *Budget, pages int64, want *Budget) {
		t.Helper()
		lacks := node.lacks(pages)
		if full := node.charge(pages); full != want || pages > 0 && lacks != want {
			t.Errorf("%d pages more for %s: %v is full, and before %v; want %v", pages, node.name, full, lacks, want)
		}
	}
	charge(leaf, 6, nil)
	charge(leaf, 1, leaf)
	checkCharged(t, "the leaf is full", map[*Budget]int64{root: 6, middle: 6, leaf: 6})
	charge(middle, 4, nil)
	charge(middle, 1, root)
	charge(leaf, -1, nil)
	charge(leaf, 1, nil)
	checkCharged(t, "all are full", map[*Budget]int64{root: 10, middle: 10, leaf: 6})
	charge(leaf, -2, nil)
	charge(middle, 2, nil)
	charge(leaf, 1, root)
	checkCharged(t, "the root is full", map[*Budget]int64{root: 10, middle: 10, leaf: 4})
	root.limit = 3 // what is given back is never too much
	charge(leaf, -4, nil)
	checkCharged(t, "above a limit", map[*Budget]int64{root: 6, middle: 6, leaf: 0})
	if leaf.Limit() != 3*page || middle.Limit() != 3*page || NewBudget("free", nil, 0, 0).Limit() != 0 {
		t.Errorf("limits %d and %d", leaf.Limit(), middle.Limit())
	}
	want := LimitError{Want: 5 * page, InUse: 4 * page, Limit: 3 * page, Name: "root"}
	if err, ok := root.refuse(5, 2).(*LimitError); !ok || *err != want {
		t.Errorf("%+v, want %+v", err, want)
	}
}

// TestSqueeze: what the heaps below a full limit have free, whatever their number and
// their level, goes to the one that needs it, and no more heaps are disturbed.
func TestSqueeze(t *testing.T) {
	const each, limit = 100, 500
	root := NewBudget("root", nil, limit<<pageShift, 0)
	middle := NewBudget("middle", root, 0, 0)
	var heaps []*Heap
	for name, parent := range map[string]*Budget{"a": root, "b": middle, "c": middle, "d": root, "own": root} {
		h := new(Heap)
		if err := h.Open(Config{Name: name, Reserve: MinReserve, Budget: NewBudget(name, parent, 0, 0)}); err != nil {
			t.Fatal(err)
		}
		if name == "own" {
			heaps = append([]*Heap{h}, heaps...)
		} else {
			heaps = append(heaps, h)
		}
		if name != "own" {
			block, _, err := h.AllocLarge(each<<pageShift, 1)
			if err != nil || !h.FreeLarge(block) {
				t.Fatal(err)
			}
		}
	}
	middleHeap := new(Heap)
	if err := middleHeap.Open(Config{Name: "middle", Reserve: MinReserve, Budget: middle}); err != nil {
		t.Fatal(err)
	}
	checkCharged(t, "four have free pages", map[*Budget]int64{root: 4 * each, middle: 2 * each})
	for _, wanted := range []int64{limit - 4*each, 3 * each, limit} {
		block, _, err := heaps[0].AllocLarge(int(wanted)<<pageShift, 1)
		if err != nil || !heaps[0].FreeLarge(block) {
			t.Fatalf("%d pages of %d: %v", wanted, limit, err)
		}
		if charged := root.charged.Load(); charged < wanted || charged > limit {
			t.Errorf("%d pages: %d are charged, the limit is %d", wanted, charged, limit)
		}
	}
	checkCharged(t, "one has all", map[*Budget]int64{root: limit, middle: 0})
	for _, h := range append(heaps, middleHeap) {
		if h.nodes[0].pages.residentNow() > 0 { // of a heap that is closed, nothing is charged
			mustHold(t, h.CheckInvariants())
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	checkCharged(t, "all are closed", map[*Budget]int64{root: 0, middle: 0})
	if root.Below() != 0 || middle.Below() != 0 {
		t.Errorf("%d and %d are below after Close", root.Below(), middle.Below())
	}
}

// TestBudgetOfUsedPages: a heap that is closed with blocks in use and free pages
// takes both out of the tree.
func TestBudgetOfUsedPages(t *testing.T) {
	root := NewBudget("root", nil, 0, 0)
	h := new(Heap)
	if err := h.Open(Config{Name: "below", Reserve: MinReserve, Budget: NewBudget("below", root, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := h.AllocLarge(10<<pageShift, 1); err != nil {
			t.Fatal(err)
		}
	}
	block, _, err := h.AllocLarge(5<<pageShift, 1)
	if err != nil || !h.FreeLarge(block) {
		t.Fatal(err)
	}
	checkCharged(t, "in use and free", map[*Budget]int64{root: 25})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.budget.close() // once more changes nothing
	checkCharged(t, "closed", map[*Budget]int64{root: 0})
}

// TestSqueezeOnlyInNeed: as long as a node has room no heap is disturbed, and when it lacks
// some, no more heaps than have to be.
func TestSqueezeOnlyInNeed(t *testing.T) {
	if !osmem.CanRelease {
		t.Skip("nothing is returned")
	}
	const each, count = 64, 4
	root := NewBudget("root", nil, 1000<<pageShift, 0)
	var heaps []*Heap
	for range count + 1 {
		h := new(Heap)
		if err := h.Open(Config{Name: "test", Reserve: MinReserve, Budget: NewBudget("test", root, 0, 0)}); err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		block, _, err := h.AllocLarge(each<<pageShift, 1)
		if err != nil || !h.FreeLarge(block) {
			t.Fatal(err)
		}
		heaps = append(heaps, h)
	}
	own := heaps[0]
	disturbed := func() (n int) {
		for _, h := range heaps[1:] {
			if h.nodes[0].pages.residentNow() < each {
				n++
			}
		}
		return n
	}
	room := 1000 - root.charged.Load()
	for _, row := range []struct {
		pages int64
		want  int
	}{{0, 0}, {room, 0}, {room + 1, 1}, {room + each, 1}, {room + 2*each, 2}, {room + 2*each + 1, 3}, {1 << 30, count}} {
		if root.squeeze(own, row.pages); disturbed() != row.want {
			t.Errorf("%d pages, %d more than there is room for: %d heaps were disturbed, want %d", row.pages, row.pages-room, disturbed(), row.want)
		}
	}
	if own.nodes[0].pages.residentNow() != each {
		t.Error("the heap that needs the pages was disturbed")
	}
}

// TestSoftLimits: one that is exceeded counts for all below.
func TestSoftLimits(t *testing.T) {
	root := NewBudget("root", nil, 0, 10<<pageShift)
	leaf := NewBudget("leaf", root, 0, 5<<pageShift)
	for _, row := range []struct {
		to                 *Budget
		pages              int64
		rootOver, leafOver bool
	}{{leaf, 5, false, false}, {leaf, 1, false, true}, {leaf, -1, false, false}, {root, 5, false, false}, {root, 1, true, true}} {
		row.to.charge(row.pages)
		if root.overSoft() != row.rootOver || leaf.overSoft() != row.leafOver {
			t.Errorf("%d pages and %d: over the soft limit are %v and %v, want %v and %v", root.charged.Load(), leaf.charged.Load(), root.overSoft(), leaf.overSoft(), row.rootOver, row.leafOver)
		}
	}
}
