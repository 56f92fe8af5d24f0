package arena

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestClassSet compares a set of classes with a map, and goes through it.
func TestClassSet(t *testing.T) {
	random := steady.Random(t)
	var s classSet
	model := map[uint8]bool{}
	for range 20_000 {
		class := uint8(1 + random.IntN(classCount-1))
		switch random.IntN(3) {
		case 0:
			if added := s.add(class); added == model[class] {
				t.Fatalf("class %d: added %v, it was there: %v", class, added, model[class])
			}
			model[class] = true
		case 1:
			if removed := s.remove(class); removed != model[class] {
				t.Fatalf("class %d: removed %v, it was there: %v", class, removed, model[class])
			}
			delete(model, class)
		default:
			want := uint8(0)
			for next := class + 1; next < classCount && want == 0; next++ {
				if model[next] {
					want = next
				}
			}
			if got := s.next(class); got != want || s.has(class) != model[class] {
				t.Fatalf("class %d: there %v, want %v; the next is %d, want %d", class, s.has(class), model[class], got, want)
			}
		}
	}
	var whole classSet
	for class := uint8(1); class < classCount; class++ {
		whole.add(class)
	}
	for class := uint8(0); class < classCount; class++ {
		if got, want := whole.next(class), (class+1)%classCount; got != want {
			t.Fatalf("behind class %d of all comes %d, want %d", class, got, want)
		}
	}
}

// TestDemandAges: when the budget is used up by classes that have all missed, one of them
// that misses no more loses its capacity to one that goes on, and two that go on share.
func TestDemandAges(t *testing.T) {
	onOneVCPU(t, func() *Heap { return openHeap(t, 2*MinReserve, 0) }, func(h *Heap) {
		const hot, late = 8, 12
		slab := h.Magazines.Here()
		for _, class := range []uint8{3, hot, late} {
			setUp(t, h, class, 0)
		}
		room := func(class int) int {
			now, _ := h.Magazines.Capacity(slab, class)
			return now
		}
		for h.grow(hot, 64) {
		}
		h.capacity.most = h.capacityBytes(slab) // nothing is left
		first, before := room(late), room(hot)
		h.grow(late, 64) // the hot one is spared once
		if room(late) != first || room(hot) != before {
			t.Errorf("a class that has missed loses %d objects at once", before-room(hot))
		}
		for range 40 {
			h.grow(late, 64)
		}
		most := int(classes[late].magazine)
		if got := room(late); h.Magazines.Here() == slab && got != most && room(hot) != int(h.capacity.initial[hot]) {
			t.Errorf("room for %d objects of %d, while the class that misses no more has room for %d", got, most, room(hot))
		}
		if bytes := h.capacityBytes(slab); bytes > h.capacity.most {
			t.Errorf("room for %d bytes, more than %d", bytes, h.capacity.most)
		}
		mustHold(t, h.CheckInvariants())
	})
}

// TestCapacityAtLimits: with nothing to share out, a class alone grows not at all, and all
// classes together stay as they are at first; nothing goes round for ever.
func TestCapacityAtLimits(t *testing.T) {
	for _, all := range []bool{false, true} {
		h := openHeap(t, 256<<20, 0)
		h.capacity.most = 0
		for class := uint8(1); class < classCount; class++ {
			if all || class == 8 {
				use(t, h, class)
				use(t, h, class)
			}
		}
		slabs, _ := h.Magazines.Slabs()
		for slab := range slabs {
			for class := 1; class < classCount; class++ {
				if now, _ := h.Magazines.Capacity(slab, class); now > int(h.capacity.initial[class]) {
					t.Errorf("all classes %v: class %d has room for %d objects, more than at first", all, class, now)
				}
			}
		}
		mustHold(t, h.CheckInvariants())
	}
}

// TestIdleCapacityIsCounted: what upkeep takes from idle magazines is counted.
func TestIdleCapacityIsCounted(t *testing.T) {
	onOneVCPU(t, func() *Heap { return openHeap(t, MinReserve, 0) }, func(h *Heap) {
		const class = 8
		slab := h.Magazines.Here()
		setUp(t, h, class, 0)
		for h.grow(class, 64) {
		}
		object, err := h.Alloc(class)
		if err != nil {
			t.Fatal(err)
		}
		h.Magazines.PushBatch(class, []unsafe.Pointer{object})
		idle := h.Magazines.NewIdle()
		idle.Lowered = h.capacity.lowered
		for range 4 {
			idle.Look(2)
		}
		before := h.capacity.demandOf(slab).bytes.Load()
		idle.Drain(2, func(class int, objects []unsafe.Pointer) { h.giveObjects(uint8(class), objects) })
		after := h.capacity.demandOf(slab).bytes.Load()
		if lost := before - after; h.Magazines.Here() == slab && lost != int64(classes[class].magazine-h.capacity.initial[class])*64 {
			t.Errorf("%d bytes are lost, of room for %d objects", lost, classes[class].magazine)
		}
		mustHold(t, h.CheckInvariants())
	})
}
