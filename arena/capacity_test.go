package arena

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// use allocates and frees objects of the class, as many as its magazines can hold.
func use(t *testing.T, h *Heap, class uint8) {
	t.Helper()
	var objects []unsafe.Pointer
	for range classes[class].magazine {
		object, err := h.Alloc(class)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	for _, object := range objects {
		if h.Free(class, object) != nil {
			t.Fatal("a double free was seen")
		}
	}
}

// heldBytes returns the bytes of the objects in the magazines of a slab.
func heldBytes(h *Heap, slab int) (bytes int64) {
	for class := 1; class < classCount; class++ {
		bytes += int64(h.Magazines.Len(slab, class)) * int64(classes[class].size)
	}
	return bytes
}

// TestCapacityBounded checks that a vCPU that uses all classes, one after the
// other, keeps no more than it may.
func TestCapacityBounded(t *testing.T) {
	initial := int64(0)
	for class, c := range magazines(0) {
		initial += int64(c.Initial) * int64(classes[class].size)
	}
	h := openHeap(t, 256<<20, 0)
	unbounded := int64(0)
	for class := 1; class < classCount; class++ {
		use(t, h, uint8(class))
		unbounded += int64(classes[class].magazine) * int64(classes[class].size)
	}
	// A thread that moves in the middle of a decision makes it on old figures, or
	// cannot evict from where it was.
	const slack = 4 * 64 << 10 // bytes: some batches
	most := vcpuBytes + initial + slack
	if unbounded < 2*vcpuBytes {
		t.Fatalf("all magazines full hold %d bytes: the test shows nothing", unbounded)
	}
	slabs, _ := h.Magazines.Slabs()
	for slab := range slabs {
		if room, held := h.capacityBytes(slab), heldBytes(h, slab); room > most || held > most {
			t.Errorf("slab %d has room for %d bytes and holds %d, more than %d", slab, room, held, most)
		}
	}
	mustHold(t, h.CheckInvariants())
}

// TestCapacityFollowsDemand checks that a class that misses gets all that it can
// have, when others that no longer miss have used up what the vCPU has.
func TestCapacityFollowsDemand(t *testing.T) {
	const late = 8 // of 64 bytes
	for range 100 {
		h := openHeap(t, 256<<20, 0)
		var now, most int
		steady := steady.OnOneVCPU(t, func() {
			for class := uint8(classCount - 1); class > late; class-- {
				use(t, h, class)
			}
			for range 10 {
				use(t, h, late)
			}
			now, most = h.Magazines.Capacity(h.Magazines.Here(), late)
		})
		if !steady {
			continue
		}
		if now != most || most != int(classes[late].magazine) {
			t.Errorf("room for %d objects of %d, want %d", now, most, classes[late].magazine)
		}
		return
	}
	t.Error("the thread never stayed on one vCPU")
}

// TestCapacityOfVCPU: a vCPU has 4 MiB, or a thirty-second of the limit if that is less.
func TestCapacityOfVCPU(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	slabs, _ := h.Magazines.Slabs()
	for limit, want := range map[int64]int64{
		0: 4 << 20, 1: 0, 31: 0, 32: 1, 3200: 100, 1 << 20: 32 << 10,
		128<<20 - 32: 4<<20 - 1, 128 << 20: 4 << 20, 128<<20 + 32: 4 << 20, 1 << 40: 4 << 20,
	} {
		var c capacity
		c.open(&h.Magazines, limit)
		if c.most != want || len(c.slabs) != slabs {
			t.Errorf("limit %d: %d bytes for each of %d vCPUs, want %d for each of %d", limit, c.most, len(c.slabs), want, slabs)
		}
	}
}

// TestCapacityOfMagazines: a magazine holds as many objects as fit a 1024th of the limit,
// one at least, and no more than the class says; and at first two batches of them, within
// 16 KiB.
func TestCapacityOfMagazines(t *testing.T) {
	for _, limit := range []int64{0, 1, 1 << 20, 8<<20 - 1, 8 << 20, 300 << 20, 1 << 40} {
		list := magazines(limit)
		if len(list) != classCount || list[0].Max != 0 || list[0].Initial != 0 {
			t.Fatalf("limit %d: %d magazines, the first of %+v", limit, len(list), list[0])
		}
		for i, k := range classes[1:] {
			got, size := list[i+1], int64(k.size)
			fits := func(n int) bool {
				return n <= int(k.magazine) && (limit == 0 || n == 1 || int64(n)*size*1024 <= limit)
			}
			if !fits(got.Max) || fits(got.Max+1) {
				t.Errorf("limit %d, objects of %d bytes: at most %d", limit, size, got.Max)
			}
			begins := func(n int) bool { return n <= got.Max && n <= 2*int(k.batch) && int64(n)*size <= 16<<10 }
			if !begins(got.Initial) || begins(got.Initial+1) {
				t.Errorf("limit %d, objects of %d bytes: at first %d of %d", limit, size, got.Initial, got.Max)
			}
		}
	}
}

// onOneVCPU calls body until a thread has stayed on one vCPU, with a new heap each time.
func onOneVCPU(t *testing.T, open func() *Heap, body func(h *Heap)) {
	t.Helper()
	for range 100 {
		h := open()
		if steady.OnOneVCPU(t, func() { body(h) }) || t.Failed() {
			return
		}
	}
	t.Error("the thread never stayed on one vCPU")
}

// capacityBytes returns what the magazines of a slab have room for.
func (h *Heap) capacityBytes(slab int) (bytes int64) {
	for class := 1; class < classCount; class++ {
		now, _ := h.Magazines.Capacity(slab, class)
		bytes += int64(now) * int64(classes[class].size)
	}
	return bytes
}

// recount makes what is known of a slab what its headers say.
func recount(h *Heap, slab int) {
	d := h.capacity.demandOf(slab)
	for class := uint8(1); class < classCount; class++ {
		now, most := h.Magazines.Capacity(slab, int(class))
		if most > 0 {
			d.known.add(class)
		}
		if now > int(h.capacity.initial[class]) {
			d.grown.add(class)
		}
	}
	d.bytes.Store(h.capacityBytes(slab))
}

// setMissed makes the classes that have missed those of which the function says so.
func (d *demand) setMissed(missed func(class int) bool) {
	for class := range classCount {
		if d.missed.remove(uint8(class)); missed(class) {
			d.missed.add(uint8(class))
		}
	}
}

// setUp sets the magazine of a class up on this vCPU, empty, with room for so many
// objects more than at first.
func setUp(t *testing.T, h *Heap, class uint8, more int) {
	t.Helper()
	object, err := h.Alloc(class)
	if err != nil {
		t.Fatal(err)
	}
	if h.Free(class, object) != nil {
		t.Fatal("a double free was seen")
	}
	for h.Magazines.Pop(int(class)) != nil {
		// The heap is closed with these in use.
	}
	slab := h.Magazines.Here()
	now, _ := h.Magazines.Capacity(slab, int(class))
	h.Magazines.Shrink(slab, int(class), now)
	if more > 0 {
		h.Magazines.Grow(int(class), more)
	}
	recount(h, slab)
}

// TestGrow: a magazine grows by what is asked for, by what the vCPU has left, or by what
// other classes lose that have not missed since the hand passed them.
func TestGrow(t *testing.T) {
	const class, size = 8, 64
	growth := int(classes[class].magazine) - magazines(0)[class].Initial
	type result struct {
		grown        bool
		by           int
		total, limit int64 // bytes
	}
	grow := func(h *Heap, count int) (r result) {
		slab := h.Magazines.Here()
		before, _ := h.Magazines.Capacity(slab, class)
		r.grown = h.grow(class, count)
		after, _ := h.Magazines.Capacity(slab, class)
		r.by, r.total = after-before, h.capacityBytes(slab)
		return r
	}
	for _, row := range []struct {
		name        string
		left        int64 // bytes that the vCPU has left
		missed      bool  // all other classes
		count       int
		grown       bool
		by          int
		stolenLeast int64
	}{
		{"room for all", 100 * size, true, 10, true, 10, 0},
		{"room for exactly all", 10 * size, true, 10, true, 10, 0},
		{"room for some", 4*size - 1, true, 10, true, 3, 0},
		{"room for less than one", size - 1, true, 10, false, 0, 0},
		{"no room", 0, true, 10, false, 0, 0},
		{"over what it may have", -1000 * size, true, 10, false, 0, 0},
		{"at the cost of others", 0, false, 10, true, 10, 10 * size},
		{"at the cost of others, in part", 4 * size, false, 10, true, 10, 6 * size},
		{"room for one", size, true, 1, true, 1, 0},
		{"up to the most", 1 << 20, true, 1 << 20, true, growth, 0},
		{"up to the most at the cost of others", 0, false, 1 << 20, true, 10, 10 * size},
	} {
		onOneVCPU(t, func() *Heap { return openHeap(t, MinReserve, 0) }, func(h *Heap) {
			slab := h.Magazines.Here()
			more := 0
			if row.name == "up to the most at the cost of others" {
				more = growth - 10
			}
			setUp(t, h, class, more)
			setUp(t, h, 3, 100)
			d := h.capacity.demandOf(slab)
			d.setMissed(func(i int) bool { return row.missed && i != class })
			before := h.capacityBytes(slab)
			h.capacity.most = before + row.left
			got := grow(h, row.count)
			if h.Magazines.Here() != slab {
				return
			}
			stolen := before + int64(got.by)*size - got.total
			if got.grown != row.grown || got.by != row.by || stolen < row.stolenLeast || stolen > 0 && stolen >= row.stolenLeast+24 {
				t.Errorf("%s: grown %v by %d, want %v by %d; %d bytes from others, want at least %d", row.name, got.grown, got.by, row.grown, row.by, stolen, row.stolenLeast)
			}
			if row.left >= 0 && got.total > h.capacity.most {
				t.Errorf("%s: room for %d bytes, more than %d", row.name, got.total, h.capacity.most)
			}
			if !d.missed.has(class) && row.by == row.count && row.stolenLeast == 0 {
				t.Errorf("%s: the miss is not noted", row.name)
			}
			if row.name == "up to the most" && h.grow(class, 1) {
				t.Errorf("%s: it grows on", row.name)
			}
		})
	}
}

// TestSteal: the hand goes round once, takes no more than is wanted but for a part of an
// object, spares the thief and each class that has missed since it passed, and moves what no
// longer fits to the transfer cache.
func TestSteal(t *testing.T) {
	open := func() *Heap { return openHeap(t, MinReserve, 0) }
	capacities := func(h *Heap, slab int) (list [classCount]int) {
		for class := 1; class < classCount; class++ {
			list[class], _ = h.Magazines.Capacity(slab, class)
		}
		return list
	}
	onOneVCPU(t, open, func(h *Heap) {
		slab := h.Magazines.Here()
		for class := uint8(1); class < 6; class++ {
			setUp(t, h, class, 50)
		}
		d := h.capacity.demandOf(slab)
		d.setMissed(func(i int) bool { return i == 1 })
		d.hand.Store(0)
		before := capacities(h, slab)
		const thief = 2
		// Class 1 has missed, class 2 steals: the others give of 24, 32 and 40 bytes.
		for _, step := range []struct {
			want, got int64
			hand      uint32
			lost      [6]int
		}{
			{100, 5 * 24, 3, [6]int{3: 5}},
			{64, 64, 4, [6]int{4: 2}},
			{41, 80, 5, [6]int{5: 2}},
		} {
			got := h.steal(slab, thief, step.want)
			after := capacities(h, slab)
			for class, lost := range step.lost {
				if after[class] != before[class]-lost {
					t.Errorf("class %d had room for %d objects and has for %d, want %d less", class, before[class], after[class], lost)
				}
			}
			if hand := d.hand.Load(); got != step.got || hand != step.hand || d.missed.has(1) {
				t.Errorf("of %d bytes %d are stolen, want %d; the hand is at %d, want %d", step.want, got, step.got, hand, step.hand)
			}
			before = after
		}
		d.hand.Store(2)
		d.setMissed(func(int) bool { return false })
		left := int64(before[3]) // with 45 more than at first
		first, _ := h.Magazines.Capacity(slab, 3)
		if got := h.steal(slab, thief, 45*24+33); got != 45*24+2*32 {
			t.Errorf("%d bytes are stolen of two classes, want %d", got, 45*24+2*32)
		}
		if now, _ := h.Magazines.Capacity(slab, 3); int64(now) != left-45 || first != int(left) {
			t.Errorf("class 3 has room for %d objects, want %d", now, left-45)
		}
	})
	onOneVCPU(t, open, func(h *Heap) {
		slab := h.Magazines.Here()
		const last = classCount - 1
		before := h.capacityBytes(slab)
		for i, class := range []uint8{1, last} {
			setUp(t, h, class, 1-i)
			now, _ := h.Magazines.Capacity(slab, int(class))
			if bytes := h.capacityBytes(slab); bytes != before+int64(now)*int64(classes[class].size) || now == 0 && class == 1 {
				t.Errorf("room for %d bytes, before %d, and for %d objects of %d", bytes, before, now, classes[class].size)
			} else {
				before = bytes
			}
		}
		d := h.capacity.demandOf(slab)
		d.setMissed(func(i int) bool { return i == 1 })
		h.Magazines.Grow(last, 1)
		recount(h, slab)
		if got := h.steal(slab, 2, 1); got != int64(classes[last].size) {
			t.Errorf("of the last class %d bytes are stolen, want %d", got, classes[last].size)
		}
	})
	onOneVCPU(t, open, func(h *Heap) {
		slab := h.Magazines.Here()
		const victim, thief, more = 8, 5, 200
		setUp(t, h, thief, more)
		setUp(t, h, victim, more)
		first, _ := h.Magazines.Capacity(slab, victim)
		var objects []unsafe.Pointer
		for range first {
			object, err := h.Alloc(victim)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, object)
		}
		for h.Magazines.Pop(victim) != nil {
		}
		if pushed := h.Magazines.PushBatch(victim, objects); pushed != first {
			t.Fatalf("%d of %d objects are pushed", pushed, first)
		}
		d := h.capacity.demandOf(slab)
		d.setMissed(func(int) bool { return false })
		d.hand.Store(17)
		before := capacities(h, slab)
		got := h.steal(slab, thief, 1<<30) // more than there is
		if h.Magazines.Here() != slab {
			return
		}
		after := capacities(h, slab)
		lost := int64(0)
		for class := range after {
			lost += int64(before[class]-after[class]) * int64(classes[class].size)
		}
		if after[thief] != before[thief] || after[victim] != first-more || got != lost {
			t.Errorf("room for %d of the thief's objects, before %d; for %d of the victim's, before %d; %d bytes stolen, %d lost",
				after[thief], before[thief], after[victim], before[victim], got, lost)
		}
		if hand := d.hand.Load() % classCount; hand != 17 {
			t.Errorf("the hand is at class %d, want 17 again", hand)
		}
		held, moved := h.Magazines.Len(slab, victim), h.nodes[0].transfer[victim].len()
		if held != after[victim] || moved < first-held {
			t.Errorf("of %d objects %d are in a magazine with room for %d, and %d in the transfer cache", first, held, after[victim], moved)
		}
		mustHold(t, h.CheckInvariants())
		h.Magazines.Grow(victim, 1)
		h.Magazines.PushBatch(victim, []unsafe.Pointer{objects[0]})
		h.Magazines.Shrink(slab, victim, 1)
		h.evict(slab, victim)
		if held := h.Magazines.Len(slab, victim); held != after[victim] {
			t.Errorf("%d objects are in a magazine with room for %d: one is too many", held, after[victim])
		}
	})
}
