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
