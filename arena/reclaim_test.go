package arena

import (
	"testing"
	"unsafe"
)

// TestLeastToDrain: draining is worth it from a sixteenth of the limit or, without one, of
// the range on; for a caller who needs as much, a single object is.
func TestLeastToDrain(t *testing.T) {
	for _, row := range []struct{ reserve, limit, want, least int64 }{
		{64 << 20, 0, 1, 4 << 20},
		{64 << 20, 16 << 20, 1, 1 << 20},
		{64 << 20, 16 << 20, 1<<20 - 1, 1 << 20},
		{64 << 20, 16 << 20, 1 << 20, 1},
		{64 << 20, 16 << 20, 1 << 40, 1},
		{64 << 20, 1 << 30, 1, 4 << 20},
		{64 << 20, 0, 4 << 20, 1},
	} {
		h := openHeap(t, row.reserve, row.limit)
		if least := h.leastToDrain(row.want); least != row.least {
			t.Errorf("range %d, limit %d: for %d bytes, %d must be held, want %d", row.reserve, row.limit, row.want, least, row.least)
		}
	}
}

// TestHeldByVCPUs: what magazines hold is counted for each class.
func TestHeldByVCPUs(t *testing.T) {
	for _, class := range []uint8{1, 2, 40, 60} {
		onOneVCPU(t, func() *Heap { return openHeap(t, MinReserve, 0) }, func(h *Heap) {
			setUp(t, h, class, 0)
			object, err := h.Alloc(class)
			if err != nil {
				t.Fatal(err)
			}
			for h.Magazines.Pop(int(class)) != nil {
			}
			before := h.heldByVCPUs()
			h.Free(class, object)
			if after := h.heldByVCPUs(); before != 0 || after != int64(classes[class].size) {
				t.Errorf("an object of %d bytes in a magazine: %d bytes are held, before %d", classes[class].size, after, before)
			}
		})
	}
}

// TestReclaimEmptiesCaches: objects of all classes go back to their spans, from transfer
// caches and from this vCPU's magazines.
func TestReclaimEmptiesCaches(t *testing.T) {
	onOneVCPU(t, func() *Heap { return openHeap(t, 64<<20, 0) }, func(h *Heap) {
		for class := uint8(1); class < classCount; class++ {
			var objects []unsafe.Pointer
			for range classes[class].batch {
				object, err := h.Alloc(class)
				if err != nil {
					t.Fatal(err)
				}
				objects = append(objects, object)
			}
			h.giveBack(class, objects[1:])
			h.Free(class, objects[0])
			if h.nodes[0].transfer[class].len() == 0 && len(objects) > 1 {
				t.Fatalf("class %d: the transfer cache is empty", class)
			}
		}
		slab := h.Magazines.Here()
		h.reclaim(1, 0)
		if h.Magazines.Here() != slab {
			return
		}
		for class := 1; class < classCount; class++ {
			if cached, held := h.nodes[0].transfer[class].len(), h.Magazines.Len(slab, class); cached != 0 || held != 0 {
				t.Errorf("class %d: %d objects are left in the transfer cache and %d in the magazine", class, cached, held)
			}
		}
		if used := h.nodes[0].pages.used; used != 0 {
			t.Errorf("%d pages are in use, and no object is", used)
		}
		mustHold(t, h.CheckInvariants())
	})
}
