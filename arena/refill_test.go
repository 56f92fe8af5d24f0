package arena

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestRefillsConserve allocates and frees at random on a machine with one node and with
// three, between which the thread moves, with a budget of capacity and without: no object
// is out twice, and at the end each is back in a span of its node.
func TestRefillsConserve(t *testing.T) {
	random := steady.Random(t)
	for _, numbers := range [][]int{{0}, {0, 1, 5}} {
		for _, size := range []int{8, 64, 224, 4096} {
			for _, most := range []int64{0, vcpuBytes} {
				m := newMachine(numbers...)
				h := openOn(t, m, 0)
				h.homes.interval = time.Hour // magazines hold objects of several nodes
				h.capacity.most = most
				class := ClassOf(size)
				held := map[unsafe.Pointer]bool{}
				var order []unsafe.Pointer
				for step := range 200 {
					m.node.Store(int64(numbers[random.IntN(len(numbers))]))
					for range random.IntN(3 * int(classes[class].batch)) {
						if step%20 < 10 {
							object, err := h.Alloc(class)
							if err != nil || held[object] {
								t.Fatalf("size %d: %p is out already, or %v", size, object, err)
							}
							held[object] = true
							order = append(order, object)
						} else if len(order) > 0 {
							last := len(order) - 1
							at := random.IntN(len(order))
							order[at], order[last] = order[last], order[at]
							if again := h.Free(class, order[last]); again != nil {
								t.Fatalf("size %d: %p is said to be free", size, again)
							}
							delete(held, order[last])
							order = order[:last]
						}
					}
					if step%20 == 19 {
						mustHold(t, h.CheckInvariants())
					}
				}
				for _, object := range order {
					h.Free(class, object)
				}
				h.reclaim(0, 0)
				mustHold(t, h.CheckInvariants())
				for _, n := range h.nodes {
					if c := &n.central[class]; c.given != 0 || c.spans != 0 {
						t.Errorf("size %d, node %d: %d objects of %d spans are still out", size, n.number, c.given, c.spans)
					}
				}
				if doubles := h.doubleFrees.Load(); doubles != 0 {
					t.Errorf("size %d: %d double frees are counted", size, doubles)
				}
			}
		}
	}
}

// TestRefillMovesTheNewest: a refill returns the newest object, puts the rest of a batch
// below it into the magazine in their order, and leaves what that has no room for.
func TestRefillMovesTheNewest(t *testing.T) {
	onOneVCPU(t, func() *Heap { return openHeap(t, MinReserve, 0) }, func(h *Heap) {
		const class = 8
		setUp(t, h, class, 0)
		slab := h.Magazines.Here()
		room, _ := h.Magazines.Capacity(slab, class)
		for _, count := range []int{0, 1, 2, 10, room, room + 1, room + 30} {
			cache := transfer{low: 1 << 20}
			memory := make([]uint64, count+1)
			objects := make([]unsafe.Pointer, count)
			for i := range objects {
				objects[i] = unsafe.Pointer(&memory[i])
			}
			cache.give(class, objects)
			for _, batch := range []int{3, maxBatch, 1 << 10} {
				before := slices.Clone(cache.objects)
				got := cache.refill(&h.Magazines, class, batch)
				moved := max(0, min(batch, len(before))-1)
				kept := min(moved, room)
				into := make([]unsafe.Pointer, room+1)
				into = into[:h.Magazines.PopBatch(class, into)]
				if h.Magazines.Here() != slab {
					return
				}
				if len(before) == 0 {
					if got != nil || len(into) != 0 {
						t.Errorf("%p and %d objects of an empty cache", got, len(into))
					}
					continue
				}
				last := len(before) - 1
				slices.Reverse(into)
				want := before[last-moved : last-moved+kept]
				left := append(slices.Clone(before[:last-moved]), before[last-moved+kept:last]...)
				if got != before[last] || !slices.Equal(into, want) || !slices.Equal(cache.objects, left) || cache.low > len(left) {
					t.Errorf("a batch of %d from %d objects: %p, %d in the magazine, %d left, the lowest %d; want %p, %d and %d",
						batch, len(before), got, len(into), len(cache.objects), cache.low, before[last], len(want), len(left))
				}
			}
		}
	})
}

// TestFlushSeesTheObject frees an object that lies anywhere in a full magazine once more,
// when the flush that makes room moves it.
func TestFlushSeesTheObject(t *testing.T) {
	const class = 15 // of 128 bytes
	for _, room := range []bool{true, false} {
		for _, at := range []int{1, 2, 3, 4, 5, 63, 100} {
			onOneVCPU(t, func() *Heap { return openHeap(t, MinReserve, 0) }, func(h *Heap) {
				slab := h.Magazines.Here()
				setUp(t, h, class, 0)
				h.capacity.most = 0
				now, _ := h.Magazines.Capacity(slab, class)
				var objects []unsafe.Pointer
				for range now + transferCapacity(class) {
					object, err := h.Alloc(class)
					if err != nil {
						t.Fatal(err)
					}
					objects = append(objects, object)
				}
				stock := make([]unsafe.Pointer, now)
				h.Magazines.PopBatch(class, stock)
				cache := &h.nodes[0].transfer[class]
				cache.take(make([]unsafe.Pointer, transferCapacity(class)))
				if !room {
					cache.give(class, objects[now:])
				}
				h.Magazines.PushBatch(class, objects[:now])
				freed := objects[now-1-at]
				twice := h.Free(class, freed)
				held := h.Magazines.Len(slab, class)
				if h.Magazines.Here() == slab && (twice != freed || held >= now) {
					t.Errorf("%d below the top, room in the cache %v: %p, want %p; %d objects of %d are left in the magazine", at, room, twice, freed, held, now)
				}
			})
		}
	}
}

// TestContains looks for an object at each place of lists of all lengths.
func TestContains(t *testing.T) {
	var memory [12]uint64
	for length := range 11 {
		var list []unsafe.Pointer
		for i := range length {
			list = append(list, unsafe.Pointer(&memory[i]))
		}
		for i := range memory {
			if got := contains(list, unsafe.Pointer(&memory[i])); got != (i < length) {
				t.Errorf("object %d in a list of %d: %v", i, length, got)
			}
		}
	}
}
