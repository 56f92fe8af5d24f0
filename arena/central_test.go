package arena

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// takeAll takes every object of a class that the heap can give, in batches of
// random sizes, and checks that each is a new one.
func takeAll(t *testing.T, random *rand.Rand, h *Heap, class uint8) (objects []unsafe.Pointer) {
	t.Helper()
	once := map[unsafe.Pointer]bool{}
	for {
		var array [maxBatch]unsafe.Pointer
		n, err := h.takeObjects(h.nodes[0], class, array[:1+random.IntN(maxBatch)])
		if err != nil {
			if n != 0 || !errors.Is(err, ErrLimit) {
				t.Fatalf("class %d: %d objects, %v", class, n, err)
			}
			return objects
		}
		for _, object := range array[:n] {
			if once[object] || h.ClassAt(object) != class || h.isFree(object) {
				t.Fatalf("class %d: %p is no object, or handed out twice", class, object)
			}
			once[object] = true
			objects = append(objects, object)
		}
	}
}

// TestCentralConserves takes all objects of each class up to the limit and gives
// them back in another order: then all pages are free.
func TestCentralConserves(t *testing.T) {
	const limit = 1 << 20
	random := steady.Random(t)
	h := openHeap(t, MinReserve, limit)
	for class := uint8(1); class < classCount; class++ {
		c := &classes[class]
		objects := takeAll(t, random, h, class)
		if want := limit / PageSize / int(c.pages) * int(c.perSpan); len(objects) != want {
			t.Fatalf("class %d: %d objects below the limit, want %d", class, len(objects), want)
		}
		mustHold(t, h.CheckInvariants())
		random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		for i := 0; len(objects) > 0; i++ {
			n := min(len(objects), 1+random.IntN(maxBatch))
			if twice := h.giveObjects(class, objects[:n]); twice != nil {
				t.Fatalf("class %d: %p is said to be free already", class, twice)
			}
			objects = objects[n:]
			if i%8 == 0 {
				mustHold(t, h.CheckInvariants())
			}
		}
		if h.nodes[0].central[class].spans != 0 || h.nodes[0].pages.used != 0 {
			t.Fatalf("class %d: all objects are free, but %d spans and %d pages are not", class, h.nodes[0].central[class].spans, h.nodes[0].pages.used)
		}
	}
}

// TestCentralTakesUpAgain takes and gives single objects at random, so that
// spans are listed and unlisted again and again.
func TestCentralTakesUpAgain(t *testing.T) {
	random := steady.Random(t)
	h := openHeap(t, MinReserve, 0)
	class := ClassOf(1152)
	held := map[unsafe.Pointer]bool{}
	var order []unsafe.Pointer
	for step := range 20_000 {
		if random.IntN(100) < 36-16*(step/4000%2) {
			var array [4]unsafe.Pointer
			n, err := h.takeObjects(h.nodes[0], class, array[:1+random.IntN(4)])
			if err != nil || n == 0 {
				t.Fatalf("%d objects, %v", n, err)
			}
			for _, object := range array[:n] {
				if held[object] {
					t.Fatalf("%p is handed out twice", object)
				}
				held[object] = true
			}
			order = append(order, array[:n]...)
		} else if len(order) > 0 {
			at := random.IntN(len(order))
			object := order[at]
			order[at] = order[len(order)-1]
			order = order[:len(order)-1]
			delete(held, object)
			if h.giveObjects(class, []unsafe.Pointer{object}) != nil {
				t.Fatalf("%p is said to be free already", object)
			}
		}
		if given := h.nodes[0].central[class].given; given != int64(len(order)) {
			t.Fatalf("%d objects are counted as %d", len(order), given)
		}
		if step%16 == 0 {
			mustHold(t, h.CheckInvariants())
		}
	}
}

// TestGiveObjectsTwice frees objects that are free: alone in a span in use, in a
// span that is free, and in pages that have become something else.
func TestGiveObjectsTwice(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	class, other := ClassOf(1280), ClassOf(4096)
	var array [4]unsafe.Pointer
	if n, err := h.takeObjects(h.nodes[0], class, array[:]); n != len(array) || err != nil {
		t.Fatalf("%d objects, %v", n, err)
	}
	give := func(want unsafe.Pointer, objects ...unsafe.Pointer) {
		t.Helper()
		if twice := h.giveObjects(class, objects); twice != want {
			t.Errorf("%p, want %p", twice, want)
		}
		mustHold(t, h.CheckInvariants())
	}
	give(nil, array[0])
	give(array[0], array[0])
	give(array[1], array[1], array[1], array[2])
	give(nil, array[3])
	give(array[2], array[2], array[3]) // the span is in the page heap
	if h.nodes[0].pages.used != 0 {
		t.Fatalf("%d pages used, want none", h.nodes[0].pages.used)
	}
	objects := takeAllSpans(t, h, other)
	give(array[3], array[3]) // in the middle of an object of the other class
	give(array[0], array[0]) // at the start of one
	if large, _, err := h.AllocLarge(PageSize, 1); err != nil {
		t.Fatal(err)
	} else {
		give(large, large)
	}
	if twice := h.giveObjects(other, objects); twice != nil {
		t.Errorf("%p of the other class is said to be free", twice)
	}
	mustHold(t, h.CheckInvariants())
}

// takeAllSpans takes objects of a class until every page that was ever used is
// in use again.
func takeAllSpans(t *testing.T, h *Heap, class uint8) (objects []unsafe.Pointer) {
	t.Helper()
	for top := h.nodes[0].pages.top; h.nodes[0].pages.used+int64(classes[class].pages) < int64(top); {
		var array [maxBatch]unsafe.Pointer
		n, err := h.takeObjects(h.nodes[0], class, array[:classes[class].perSpan])
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, array[:n]...)
	}
	return objects
}

// TestGiveObjectsToAnotherSpan gives an object whose pages are in a span of the
// same class now, which starts at another page.
func TestGiveObjectsToAnotherSpan(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	class := ClassOf(5120) // 5 pages
	object := make([]unsafe.Pointer, 1)
	if _, err := h.takeObjects(h.nodes[0], class, object); err != nil {
		t.Fatal(err)
	}
	h.giveObjects(class, object)
	shim, _, err := h.AllocLarge(PageSize, 1)
	if err != nil || shim != object[0] {
		t.Fatalf("%p, want %p, %v", shim, object[0], err)
	}
	span := make([]unsafe.Pointer, classes[class].perSpan)
	if n, err := h.takeObjects(h.nodes[0], class, span); n != len(span) || err != nil {
		t.Fatalf("%d objects, %v", n, err)
	}
	for offset := uintptr(PageSize); offset < 5*PageSize; offset += 8 {
		stale := unsafe.Add(object[0], offset)
		isObject := slices.Contains(span, stale)
		if !isObject && h.giveObjects(class, []unsafe.Pointer{stale}) != stale {
			t.Fatalf("offset %d: there is no object, but it could be freed", offset)
		}
	}
	mustHold(t, h.CheckInvariants())
	if given := h.nodes[0].central[class].given; given != int64(len(span)) {
		t.Errorf("%d objects are counted as %d", len(span), given)
	}
}

// TestTransfer checks that a transfer cache takes as many as its capacity, and
// gives the newest first.
func TestTransfer(t *testing.T) {
	for class := uint8(1); class < classCount; class++ {
		var cache transfer
		objects := make([]unsafe.Pointer, 0, transferCapacity(class)+maxBatch)
		memory := make([]uint64, cap(objects))
		taken := 0
		for i := range cap(objects) {
			objects = append(objects, unsafe.Pointer(&memory[i]))
		}
		for taken < len(objects) {
			n := cache.give(class, objects[taken:min(len(objects), taken+maxBatch)])
			if n == 0 {
				break
			}
			taken += n
		}
		if taken != transferCapacity(class) || cache.len() != taken || taken < int(classes[class].batch) {
			t.Fatalf("class %d: took %d, holds %d of %d", class, taken, cache.len(), transferCapacity(class))
		}
		var got []unsafe.Pointer
		for cache.len() > 0 {
			into := make([]unsafe.Pointer, 5)
			n := cache.take(into)
			slices.Reverse(into[:n])
			got = append(got, into[:n]...)
		}
		slices.Reverse(got)
		if !slices.Equal(got, objects[:taken]) {
			t.Fatalf("class %d: another order, or other objects", class)
		}
	}
}
