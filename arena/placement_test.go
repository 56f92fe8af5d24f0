package arena

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/numa"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// binding is what a heap has asked the system for.
type binding struct {
	how     osmem.Binding
	numbers []int
	size    uintptr
}

// fakeMachine is a machine with nodes that there need not be.
type fakeMachine struct {
	machine
	node  atomic.Int64 // the number of the node that every thread is on
	bound []binding
}

func newMachine(numbers ...int) *fakeMachine {
	m := new(fakeMachine)
	m.machine = machine{
		topology: numa.New(numbers, numbers, nil),
		minPart:  MinReserve,
		here:     func() (id, node int) { return vcpu.Current(), int(m.node.Load()) },
		follows:  func() bool { return false },
		bind: func(r *osmem.Range, how osmem.Binding, numbers []int) error {
			m.bound = append(m.bound, binding{how, slices.Clone(numbers), r.Size})
			return nil
		},
	}
	m.node.Store(int64(numbers[0]))
	return m
}

// openOn returns a heap on a machine, with parts of 16 MiB, that the test closes.
func openOn(t *testing.T, m *fakeMachine, limit int64) *Heap {
	t.Helper()
	h := new(Heap)
	reserve := int64(len(m.topology.Nodes)) * MinReserve
	if err := h.Open(Config{Name: "test", Reserve: reserve, Budget: NewBudget("test", nil, limit, 0), machine: &m.machine}); err != nil {
		t.Fatal(err)
	}
	h.homes.interval = 0
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// on returns the number of the node that a block belongs to.
func (h *Heap) on(block unsafe.Pointer) int {
	return h.nodeOf(uint32(h.offsetOf(block) >> pageShift)).number
}

// TestPlacement opens heaps on machines of all kinds.
func TestPlacement(t *testing.T) {
	refuse := func(*osmem.Range, osmem.Binding, []int) error { return errors.New("refused") }
	for _, row := range []struct {
		name      string
		numbers   []int
		change    func(m *fakeMachine)
		placement Placement
		reserve   int64 // 32 MiB by default
		want      string
		reason    string
		nodes     []int
		bound     []binding
	}{
		{name: "one node", numbers: []int{0}, want: "one node", nodes: []int{0}},
		{name: "one node, interleaved", numbers: []int{3}, placement: Interleave, want: "one node", nodes: []int{3}},
		{name: "the one node", numbers: []int{3}, placement: OnNode(3), want: "one node", nodes: []int{3}},
		{name: "two", numbers: []int{0, 1}, want: "local", nodes: []int{0, 1},
			bound: []binding{{osmem.Prefer, []int{0}, 16 << 20}, {osmem.Prefer, []int{1}, 16 << 20}}},
		{name: "two, said", numbers: []int{2, 7}, placement: Local, want: "local", nodes: []int{2, 7},
			bound: []binding{{osmem.Prefer, []int{2}, 16 << 20}, {osmem.Prefer, []int{7}, 16 << 20}}},
		{name: "parts that do not come out even", numbers: []int{0, 1, 2}, reserve: 64 << 20, want: "local", nodes: []int{0, 1, 2},
			bound: []binding{{osmem.Prefer, []int{0}, 20 << 20}, {osmem.Prefer, []int{1}, 20 << 20}, {osmem.Prefer, []int{2}, 24 << 20}}},
		{name: "too short", numbers: []int{0, 1, 2}, want: "first touch", reason: "too short for 3 nodes", nodes: []int{anyNode}},
		{name: "too many", numbers: []int{0, 1, 2, 3, 4, 5, 6, 7, 8}, reserve: 256 << 20, want: "first touch", reason: "9 nodes, more than 8", nodes: []int{anyNode}},
		{name: "numactl", numbers: []int{0, 1}, change: func(m *fakeMachine) { m.follows = func() bool { return true } },
			want: "first touch", reason: "memory policy of its own", nodes: []int{anyNode}},
		{name: "numactl, overruled", numbers: []int{0, 1}, change: func(m *fakeMachine) { m.follows = func() bool { return true } },
			placement: OnNode(1), want: "node 1", nodes: []int{1}, bound: []binding{{osmem.Prefer, []int{1}, 32 << 20}}},
		{name: "bind refused", numbers: []int{0, 1}, change: func(m *fakeMachine) { m.bind = refuse }, want: "local", reason: "refused", nodes: []int{0, 1}},
		{name: "interleave", numbers: []int{0, 1, 5}, placement: Interleave, want: "interleave", nodes: []int{anyNode},
			bound: []binding{{osmem.Alternate, []int{0, 1, 5}, 32 << 20}}},
		{name: "interleave refused", numbers: []int{0, 1}, change: func(m *fakeMachine) { m.bind = refuse }, placement: Interleave,
			want: "first touch", reason: "refused", nodes: []int{anyNode}},
		{name: "a node", numbers: []int{0, 1}, placement: OnNode(1), want: "node 1", nodes: []int{1}, bound: []binding{{osmem.Prefer, []int{1}, 32 << 20}}},
		{name: "no such node", numbers: []int{0}, change: func(m *fakeMachine) { m.bind = refuse }, placement: OnNode(4),
			want: "first touch", reason: "refused", nodes: []int{anyNode}},
		{name: "memory without CPUs", numbers: []int{0}, change: func(m *fakeMachine) { m.topology = numa.New([]int{0}, []int{0, 1}, nil) },
			want: "first touch", reason: "only one node has CPUs", nodes: []int{anyNode}},
		{name: "nothing is known", numbers: []int{0}, change: func(m *fakeMachine) { m.topology = numa.Read("/nowhere") },
			want: "first touch", reason: "not known", nodes: []int{anyNode}},
		{name: "nothing is known, a node", numbers: []int{0}, change: func(m *fakeMachine) { m.topology = numa.Read("/nowhere") },
			placement: OnNode(2), want: "node 2", nodes: []int{2}, bound: []binding{{osmem.Prefer, []int{2}, 32 << 20}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMachine(row.numbers...)
			if row.change != nil {
				row.change(m)
			}
			var h Heap
			reserve := max(row.reserve, 32<<20)
			if err := h.Open(Config{Name: "test", Reserve: reserve, Budget: NewBudget("test", nil, 0, 0), Placement: row.placement, machine: &m.machine}); err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			s := h.Stats()
			var numbers []int
			for n := range s.Nodes.All() {
				numbers = append(numbers, n.Node)
			}
			if s.Placement != row.want || !slices.Equal(numbers, row.nodes) {
				t.Errorf("%s on nodes %v, want %s on %v", s.Placement, numbers, row.want, row.nodes)
			}
			if (s.PlacementReason == "") != (row.reason == "") || !strings.Contains(s.PlacementReason, row.reason) {
				t.Errorf("reason %q, want %q in it", s.PlacementReason, row.reason)
			}
			if !slices.EqualFunc(m.bound, row.bound, func(a, b binding) bool {
				return a.how == b.how && a.size == b.size && slices.Equal(a.numbers, b.numbers)
			}) {
				t.Errorf("bound: %v, want %v", m.bound, row.bound)
			}
			// Whatever became of it, memory is there.
			if _, err := h.Alloc(ClassOf(100)); err != nil {
				t.Error(err)
			}
			mustHold(t, h.CheckInvariants())
		})
	}
}

func TestPlacementString(t *testing.T) {
	for p, want := range map[Placement]string{0: "local", Local: "local", Interleave: "interleave", OnNode(0): "node 0", OnNode(12): "node 12"} {
		if p.String() != want {
			t.Errorf("%d is %q, want %q", int(p), p, want)
		}
	}
	if p := OnNode(-1); p >= 0 {
		t.Errorf("there is a node below 0: %v", p)
	}
}

// TestLocal allocates on one node after the other. What a vCPU has brought from the
// node before is no more than its magazine holds, and after the first miss nothing of
// any class.
func TestLocal(t *testing.T) {
	class, other := ClassOf(256), ClassOf(1024)
	most := int(classes[class].magazine)
	for range 100 {
		m := newMachine(4, 9)
		h := openOn(t, m, 0)
		if !steady.OnOneVCPU(t, func() { checkLocal(t, m, h, class, other, most) }) {
			continue // on another vCPU there were other magazines
		}
		checkLocalNode(t, h)
		return
	}
	t.Fatal("in 100 tries the thread was never on one vCPU")
}

func checkLocal(t *testing.T, m *fakeMachine, h *Heap, class, other uint8, most int) {
	t.Helper()
	alloc := func(class uint8) int {
		block, err := h.Alloc(class)
		if err != nil {
			t.Fatal(err)
		}
		return h.on(block)
	}
	for turn, number := range []int{4, 9, 4} {
		m.node.Store(int64(number))
		brought := 0
		for alloc(class) != number {
			brought++
		}
		if brought > most || turn == 0 && brought > 0 {
			t.Errorf("turn %d: %d objects of another node, at most %d fit a magazine", turn, brought, most)
		}
		for range 2003 { // no multiple of a batch
			if got := alloc(other); got != number {
				t.Fatalf("turn %d: an object of node %d on node %d", turn, got, number)
			}
		}
		large, _, err := h.AllocLarge(MaxSmall+1, 1)
		if err != nil || h.on(large) != number {
			t.Errorf("turn %d: a large block on node %d, %v", turn, h.on(large), err)
		}
	}
}

func checkLocalNode(t *testing.T, h *Heap) {
	t.Helper()
	mustHold(t, h.CheckInvariants())
	s := h.Stats()
	backed := int64(0)
	for n := range s.Nodes.All() {
		if backed += n.Backed; n.Backed == 0 || n.Borrowed != 0 {
			t.Errorf("%+v", n)
		}
	}
	if backed != s.Backed || s.NodeMoves != 2 {
		t.Errorf("%d bytes on the nodes, %d in all; %d moves, want 2", backed, s.Backed, s.NodeMoves)
	}
}

// TestMoves: a vCPU that goes to and fro is emptied once in an interval.
func TestMoves(t *testing.T) {
	var o homes
	o.open(2)
	o.interval = time.Hour
	if o.moved(0, 0) || o.moved(0, 1) || o.moved(0, 0) || o.moved(0, 1) || o.moves.Load() != 0 {
		t.Error("moved within the interval")
	}
	o.interval = 0
	if !o.moved(0, 1) || o.moved(0, 1) || !o.moved(0, 0) || o.moves.Load() != 2 {
		t.Errorf("%d moves, want 2", o.moves.Load())
	}
	if o.moved(1, 1) || o.moved(2, 1) || o.moved(2, 0) || o.moves.Load() != 2 {
		t.Error("a vCPU that is new, or not known, has moved")
	}
}

// TestFreeGoesHome frees what is of one node on another.
func TestFreeGoesHome(t *testing.T) {
	m := newMachine(0, 1, 2)
	h := openOn(t, m, 0)
	random := steady.Random(t)
	model := &heapModel{t: t, random: random, heap: h, most: 1 << 40}
	for number := range 3 {
		m.node.Store(int64(number))
		for range 500 {
			model.alloc(1 + random.IntN(1<<random.IntN(14)))
		}
		model.alloc(1 << 20)
	}
	for _, n := range h.nodes {
		if n.pages.used < 128 {
			t.Errorf("node %d: %d pages used", n.number, n.pages.used)
		}
	}
	m.node.Store(1)
	for len(model.blocks) > 0 {
		model.free(random.IntN(len(model.blocks)))
	}
	checkQuiet(t, h, 0)
	if _, err := h.Trim(func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	checkQuiet(t, h, 0)
	for _, n := range h.nodes {
		if n.pages.used != 0 || n.pages.resident != 0 && osmem.CanRelease {
			t.Errorf("node %d: %d pages used, %d resident", n.number, n.pages.used, n.pages.resident)
		}
	}
}

// TestBorrow fills the part of one node: others serve its threads then, and get
// their pages back.
func TestBorrow(t *testing.T) {
	m := newMachine(0, 1)
	h := openOn(t, m, 0)
	block := func(n int) unsafe.Pointer {
		t.Helper()
		b, _, err := h.AllocLarge(n, 1)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := block(15 << 20)
	if h.on(first) != 0 || h.nodes[0].borrowed.Load() != 0 {
		t.Errorf("the first block is on node %d", h.on(first))
	}
	second := block(2 << 20)
	if h.on(second) != 1 || h.nodes[0].borrowed.Load() != 1 {
		t.Errorf("a block that node 0 has no pages for is on node %d, borrowed %d times", h.on(second), h.nodes[0].borrowed.Load())
	}
	rest := block(1<<20 - firstPage*PageSize) // all but the pages that nobody uses
	if h.on(rest) != 0 {
		t.Errorf("the rest of node 0 is on node %d", h.on(rest))
	}
	class := ClassOf(64)
	small, err := h.Alloc(class)
	if err != nil || h.on(small) != 1 || h.nodes[0].borrowed.Load() != 2 {
		t.Errorf("a small block is on node %d, borrowed %d times: %v", h.on(small), h.nodes[0].borrowed.Load(), err)
	}
	if _, _, err := h.AllocLarge(15<<20, 1); !errors.Is(err, ErrNoMemory) {
		t.Errorf("a block that no node has pages for: %v", err)
	}
	h.Free(class, small)
	for _, b := range []unsafe.Pointer{first, second, rest} {
		if !h.FreeLarge(b) {
			t.Errorf("%p could not be freed", b)
		}
	}
	h.Trim(func() bool { return true })
	checkQuiet(t, h, 0)
	if again := block(15 << 20); h.on(again) != 0 {
		t.Errorf("with pages again, the block is on node %d", h.on(again))
	}
}

// TestLimitOfNodes has all of a limit's memory free on one node, when another needs it.
func TestLimitOfNodes(t *testing.T) {
	const limit = 8 << 20
	m := newMachine(0, 1)
	h := openOn(t, m, limit)
	for turn := range 6 {
		m.node.Store(int64(turn % 2))
		block, _, err := h.AllocLarge(limit, 1)
		if err != nil {
			t.Fatalf("turn %d: %v", turn, err)
		}
		if h.on(block) != turn%2 {
			t.Errorf("turn %d: on node %d", turn, h.on(block))
		}
		checkQuiet(t, h, limit)
		var over *LimitError
		if _, err := h.Alloc(ClassOf(100)); !errors.As(err, &over) || over.InUse != limit {
			t.Errorf("turn %d: %v", turn, err)
		}
		h.FreeLarge(block)
	}
}

// TestNodesConcurrent lets goroutines play that change their nodes all the time.
func TestNodesConcurrent(t *testing.T) {
	random := steady.Random(t)
	for _, limit := range []int64{0, 10 << 20} {
		m := newMachine(0, 1, 3)
		m.here = func() (id, node int) { return vcpu.Current(), []int{0, 1, 3}[rand.IntN(3)] }
		h := openOn(t, m, limit)
		models := make([]*heapModel, 6)
		for i := range models {
			models[i] = &heapModel{t: t, random: rand.New(rand.NewPCG(random.Uint64(), 0)), heap: h, most: 2 << 20, mark: uint64(i) << 32}
		}
		for range 3 {
			var all sync.WaitGroup
			h.ReleaseAfter(2 * time.Millisecond)
			for _, m := range models {
				all.Go(func() {
					for step := range 900 {
						if m.step(); step%300 == 299 {
							h.Trim(func() bool { return true })
						}
					}
				})
			}
			all.Wait()
			h.upkeep.end()
			live := int64(0)
			for i, m := range models {
				next := models[(i+1)%len(models)]
				m.blocks, next.blocks, m.live, next.live = next.blocks, m.blocks, next.live, m.live
			}
			for _, m := range models {
				live += m.live
			}
			checkQuiet(t, h, live)
		}
		for _, m := range models {
			for len(m.blocks) > 0 {
				m.free(0)
			}
		}
		h.Trim(func() bool { return true })
		checkQuiet(t, h, 0)
		for _, n := range h.nodes {
			if n.pages.used != 0 {
				t.Errorf("node %d: %d pages used", n.number, n.pages.used)
			}
		}
	}
}

// TestEmptyHere: of each class all goes, more than one batch, to the transfer caches of
// the nodes that it is of.
func TestEmptyHere(t *testing.T) {
	const many = 3*maxBatch + 5
	onOneVCPU(t, func() *Heap { return openOn(t, newMachine(0, 1), 0) }, func(h *Heap) {
		for _, class := range []uint8{1, 8, classCount - 1} {
			setUp(t, h, class, many)
		}
		var objects [many]unsafe.Pointer
		held := map[uint8]int{}
		for _, class := range []uint8{1, 8, classCount - 1} {
			held[class] = min(many, int(classes[class].magazine))
			for i := range held[class] {
				n := h.nodes[i%2]
				if count, err := h.takeObjects(n, class, objects[i:i+1]); count != 1 {
					t.Fatal(err)
				}
			}
			held[class] = h.Magazines.PushBatch(int(class), objects[:held[class]])
		}
		slab := h.Magazines.Here()
		before := h.heldByVCPUs()
		h.emptyHere()
		if h.Magazines.Here() != slab {
			return
		}
		if held[1] != many || held[8] != many || held[classCount-1] == 0 || before == 0 {
			t.Fatalf("the magazines held %v objects", held)
		}
		if left := h.heldByVCPUs(); left != 0 {
			t.Errorf("of %d bytes %d are left in magazines", before, left)
		}
		for class := range held {
			for _, n := range h.nodes {
				var array [many]unsafe.Pointer
				for _, object := range array[:n.transfer[class].take(array[:])] {
					if h.on(object) != n.number {
						t.Errorf("class %d: an object of node %d is in the transfer cache of node %d", class, h.on(object), n.number)
					}
				}
			}
		}
		mustHold(t, h.CheckInvariants())
	})
}

// TestYield: the other nodes return as much as the budget lacks, and no more.
func TestYield(t *testing.T) {
	if !osmem.CanRelease {
		t.Skip("nothing is returned")
	}
	const limit = 2000 // pages
	m := newMachine(0, 1, 2)
	h := openOn(t, m, limit<<pageShift)
	take := func(number int, pages uint32) uint32 {
		page, _, err := h.nodes[number].pages.alloc(pages, 1)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	// On nodes 1 and 2, 40 free spans of 8 pages between pages in use; on node 0 one.
	pages := uint32(max(8, osPages()))
	var free [3][]uint32
	for number, count := range []int{1, 40, 40} {
		take(number, osPages()) // from here on, all begins with an OS page
		for range count {
			free[number] = append(free[number], take(number, pages))
			take(number, pages)
		}
		for _, page := range free[number] {
			h.nodes[number].pages.release(page)
		}
	}
	resident := func() (list [3]int64) {
		for i, n := range h.nodes {
			list[i] = n.pages.residentNow()
		}
		return list
	}
	before := resident()
	room := limit - h.budget.charged.Load()
	near := h.nodes[0]
	// What is free here goes first, and what the budget has left.
	if !h.yield(near, room+before[0]) || resident() != before {
		t.Errorf("there was room, and %v resident pages became %v", before, resident())
	}
	if !h.yield(near, room+before[0]+1) {
		t.Error("there is no room for one page more")
	}
	after := resident()
	if after[0] != before[0] || before[1]+before[2]-after[1]-after[2] != int64(pages) {
		t.Errorf("for one page, %v resident pages became %v; one span of %d is enough", before, after, pages)
	}
	all := h.budget.charged.Load() - after[1] - after[2]
	if !h.yield(near, limit-all+before[0]) || resident()[1]+resident()[2] != 0 {
		t.Errorf("for all that is free elsewhere there is no room: %v", resident())
	}
	if h.yield(near, limit-all+before[0]+1) {
		t.Error("there is room for more than all that is free")
	}
}
