package arena

import (
	"errors"
	"slices"
	"testing"
	"time"
	"unsafe"
)

// TestMovedAfterInterval: magazines are emptied when a vCPU has been at home for the
// interval, and the home stays noted until then.
func TestMovedAfterInterval(t *testing.T) {
	var o homes
	o.open(3)
	if o.interval != time.Second || len(o.vcpus) != 3 {
		t.Errorf("%d vCPUs, an interval of %v; want 3 and a second", len(o.vcpus), o.interval)
	}
	o.interval = time.Hour
	at := &o.vcpus[1]
	ago := func(d time.Duration) { at.since.Store(int64(time.Since(epoch) - d)) }
	state := func(what string, moved, wantMoved bool, wantNode int32, wantMoves int64) {
		t.Helper()
		if moved != wantMoved || at.node.Load() != wantNode || o.moves.Load() != wantMoves {
			t.Errorf("%s: moved %v, home %d, %d moves; want %v, %d, %d", what, moved, at.node.Load(), o.moves.Load(), wantMoved, wantNode, wantMoves)
		}
	}
	state("new", o.moved(1, 4), false, 5, 0)
	if since := time.Since(epoch) - time.Duration(at.since.Load()); since < 0 || since > time.Hour {
		t.Errorf("home since %v", since)
	}
	ago(2 * time.Hour)
	state("at home", o.moved(1, 4), false, 5, 0)
	ago(time.Hour / 2)
	state("too early", o.moved(1, 2), false, 5, 0)
	ago(time.Hour + time.Second)
	state("later", o.moved(1, 2), true, 3, 1)
	state("at once again", o.moved(1, 4), false, 3, 1)
	if o.moved(3, 0) || o.moved(1<<30, 0) || o.moves.Load() != 1 || o.vcpus[0].node.Load()+o.vcpus[2].node.Load() != 0 {
		t.Error("another vCPU has moved")
	}
}

// TestNodeOfPages: the first and the last page of each part are of its node, and what the
// last part has more is of the last.
func TestNodeOfPages(t *testing.T) {
	m := newMachine(0, 1, 5)
	h := new(Heap)
	if err := h.Open(Config{Name: "test", Reserve: 64 << 20, Budget: NewBudget("test", nil, 0, 0), machine: &m.machine}); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const part = 20 << 20 >> pageShift
	for page, want := range map[uint32]int{0: 0, part - 1: 0, part: 1, 2*part - 1: 1, 2 * part: 5, 3*part - 1: 5, 3 * part: 5, 64<<20>>pageShift - 1: 5} {
		if got := h.nodeOf(page).number; got != want {
			t.Errorf("page %d is of node %d, want %d", page, got, want)
		}
	}
	for i, n := range h.nodes {
		var others []int
		for _, other := range n.others {
			others = append(others, other.number)
		}
		if len(others) != 2 || slices.Contains(others, n.number) {
			t.Errorf("the node at position %d has the others %v", i, others)
		}
		if begin := n.pages.base; begin != uint32(i)*part {
			t.Errorf("the node at position %d begins at page %d, want %d", i, begin, uint32(i)*part)
		}
	}
}

// TestSameNode: the objects of the node of the first come to the front, and none is lost.
func TestSameNode(t *testing.T) {
	h := openOn(t, newMachine(0, 1), 0)
	const part = MinReserve >> pageShift
	at := func(pages ...uint32) (objects []unsafe.Pointer) {
		for _, page := range pages {
			objects = append(objects, h.addressOf(page))
		}
		return objects
	}
	for _, row := range []struct {
		pages []uint32
		node  int
		count int
	}{
		{[]uint32{10}, 0, 1},
		{[]uint32{part + 10}, 1, 1},
		{[]uint32{10, 11, 12}, 0, 3},
		{[]uint32{10, part, 12, part + 1, 14}, 0, 3},
		{[]uint32{part, 10, 11, part + 1}, 1, 2},
		{[]uint32{part, 10, 11, 12}, 1, 1},
	} {
		objects := at(row.pages...)
		n, count := h.sameNode(objects)
		if n != h.nodes[row.node] || count != row.count {
			t.Errorf("pages %v: %d objects of node %d, want %d of %d", row.pages, count, n.number, row.count, row.node)
		}
		for i, object := range objects {
			if (h.on(object) == row.node) != (i < count) {
				t.Errorf("pages %v: an object of node %d at position %d", row.pages, h.on(object), i)
			}
		}
		all := at(row.pages...)
		compare := func(a, b unsafe.Pointer) int { return int(uintptr(a)) - int(uintptr(b)) }
		slices.SortFunc(all, compare)
		slices.SortFunc(objects, compare)
		if !slices.Equal(all, objects) {
			t.Errorf("pages %v: objects are lost", row.pages)
		}
	}
	if n, count := openHeap(t, MinReserve, 0).sameNode(at(10, part)); n == nil || count != 2 {
		t.Errorf("of one node, %d objects, want 2", count)
	}
}

// TestServeOrder: the node of the thread first, then the others, the nearest first; after a
// full limit the node itself again, if the others could make room.
func TestServeOrder(t *testing.T) {
	m := newMachine(0, 1, 2)
	m.node.Store(1)
	h := openOn(t, m, 64<<20)
	limit := h.budget.refuse(1, 0)
	for _, row := range []struct {
		name     string
		results  []error // of the tries
		pages    int64
		order    []int
		borrowed int64
		want     error
	}{
		{"at once", []error{nil}, 1, []int{1}, 0, nil},
		{"no memory", []error{ErrNoMemory, nil}, 1, []int{1, 0}, 1, nil},
		{"no memory twice", []error{ErrNoMemory, limit, nil}, 1, []int{1, 0, 2}, 1, nil},
		{"none has memory", []error{ErrNoMemory, limit, limit}, 1, []int{1, 0, 2}, 0, ErrNoMemory},
		{"a limit with room", []error{limit, nil}, 1, []int{1, 1}, 0, nil},
		{"a limit with room, in vain", []error{limit, ErrNoMemory, nil}, 1, []int{1, 1, 0}, 1, nil},
		{"a limit without room", []error{limit, nil}, 1 << 20, []int{1, 0}, 1, nil},
		{"a limit all the time", []error{limit, limit, limit}, 1 << 20, []int{1, 0, 2}, 0, ErrLimit},
	} {
		var order []int
		results := row.results
		before := h.nodes[1].borrowed.Load()
		err := h.serve(row.pages, func(from *node) error {
			order = append(order, from.number)
			result := results[0]
			results = results[1:]
			return result
		})
		if !slices.Equal(order, row.order) || !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("%s: tried %v, %v; want %v, %v", row.name, order, err, row.order, row.want)
		}
		if borrowed := h.nodes[1].borrowed.Load() - before; borrowed != row.borrowed || h.nodes[0].borrowed.Load()+h.nodes[2].borrowed.Load() != 0 {
			t.Errorf("%s: borrowed %d times, want %d", row.name, borrowed, row.borrowed)
		}
	}
	one := openHeap(t, MinReserve, 64<<20)
	tries := 0
	if err := one.serve(1, func(*node) error { tries++; return limit }); !errors.Is(err, ErrLimit) || tries != 1 {
		t.Errorf("one node: %d tries, %v", tries, err)
	}
}

// TestTransferBounds: the cache of a class keeps 16 batches, or 256 KiB if that is less,
// and one batch at least.
func TestTransferBounds(t *testing.T) {
	for class := uint8(1); class < classCount; class++ {
		k := &classes[class]
		n := transferCapacity(class)
		fits := func(n int) bool {
			return n <= int(k.batch) || n <= 16*int(k.batch) && n*int(k.size) <= 256<<10
		}
		if !fits(n) || fits(n+1) {
			t.Errorf("objects of %d bytes: %d are kept, of batches of %d", k.size, n, k.batch)
		}
	}
	var cache transfer
	const class = 60
	capacity := transferCapacity(class)
	objects := make([]unsafe.Pointer, capacity+10)
	for i := range objects {
		objects[i] = unsafe.Pointer(unsafe.SliceData(make([]byte, 1)))
	}
	if n := cache.give(class, objects[:capacity-3]); n != capacity-3 || cache.len() != n {
		t.Errorf("%d of %d are taken over, and %d kept", n, capacity-3, cache.len())
	}
	if n := cache.give(class, objects[capacity-3:]); n != 3 || cache.len() != capacity {
		t.Errorf("%d more are taken over, want 3; %d kept", n, cache.len())
	}
	if n := cache.give(class, objects[:1]); n != 0 {
		t.Error("a full cache takes an object over")
	}
	into := make([]unsafe.Pointer, 5)
	if n := cache.take(into); n != 5 || !slices.Equal(into, objects[capacity-5:capacity]) {
		t.Errorf("the newest %d are taken", n)
	}
	if n := cache.take(make([]unsafe.Pointer, capacity)); n != capacity-5 || cache.len() != 0 || cache.low != 0 {
		t.Errorf("%d of the rest are taken, and %d left", n, cache.len())
	}
}
