//go:build !vcpualloc_gomem

package arena

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// goneModel finds out which pieces of a span can be gone, object by object.
type goneModel struct {
	page uint32
	k    *class
	live []bool // by the number of the object
	gone []bool // by the number of the piece
}

// pieces returns the range of pieces that an object lies on, in whole OS pages.
func (m *goneModel) pieces(object int) (first, end int) {
	step := int(osPieces())
	first = object * int(m.k.size) / pieceSize / step * step
	end = ((object+1)*int(m.k.size)-1)/pieceSize/step*step + step
	return first, min(end, len(m.gone))
}

// swept marks the pieces on which no object is in use.
func (m *goneModel) swept() {
	for piece := range m.gone {
		m.gone[piece] = true
	}
	for object, live := range m.live {
		if live {
			m.taken(object)
		}
	}
}

func (m *goneModel) taken(object int) {
	for first, end := m.pieces(object); first < end; first++ {
		m.gone[first] = false
	}
}

// residentPages counts the pages that are not gone as a whole.
func (m *goneModel) residentPages() (count int64) {
	for page := range slices.Chunk(m.gone, piecesPerPage) {
		if slices.Contains(page, false) {
			count++
		}
	}
	return count
}

func (m *goneModel) check(t *testing.T, h *Heap, when string) {
	t.Helper()
	count := int64(0)
	for piece, want := range m.gone {
		if want {
			count++
		}
		if got := h.spans.isGone(uintptr(m.page)*piecesPerPage + uintptr(piece)); got != want {
			t.Fatalf("%s: objects of %d bytes: piece %d of %d is gone: %t, want %t", when, m.k.size, piece, len(m.gone), got, want)
		}
	}
	if got := h.nodes[0].gone.pieces.Load(); got != count {
		t.Fatalf("%s: objects of %d bytes: %d pieces are gone, want %d", when, m.k.size, got, count)
	}
}

// TestSweep sweeps a span of each class with objects in use at random, looks which
// pieces are gone, takes the others again one by one, and frees all of them.
func TestSweep(t *testing.T) {
	if !osmem.CanRelease || osPieces() > piecesPerPage {
		return // a span need not begin at an OS page
	}
	random := steady.Random(t)
	for class := uint8(1); class < classCount; class++ {
		// Each heap is closed before the next: addresses may be short.
		t.Run(strconv.Itoa(ClassSize(class)), func(t *testing.T) { sweepOf(t, random, class) })
	}
}

func sweepOf(t *testing.T, random *rand.Rand, class uint8) {
	h := openHeap(t, MinReserve, 0)
	k := &classes[class]
	objects := make([]unsafe.Pointer, k.perSpan)
	for taken := 0; taken < len(objects); {
		n, err := h.takeObjects(h.nodes[0], class, objects[taken:min(len(objects), taken+maxBatch)])
		if err != nil {
			t.Fatal(err)
		}
		taken += n
	}
	m := &goneModel{
		page: uint32(h.offsetOf(objects[0]) >> pageShift), k: k,
		live: make([]bool, k.perSpan), gone: make([]bool, k.pages*piecesPerPage),
	}
	keepSome(random, m.live)
	for i, live := range m.live {
		fillObject(objects[i], k, byte(i+1))
		if !live {
			h.giveObjects(class, objects[i:i+1])
		}
	}
	m.swept()
	h.sweep(true, always)
	m.check(t, h, "swept")
	mustHold(t, h.CheckInvariants())
	for i, live := range m.live {
		if live && !isFilled(objects[i], k, byte(i+1)) {
			t.Fatalf("object %d of %d bytes is not what it was", i, k.size)
		}
	}
	h.sweep(true, always)
	m.check(t, h, "swept again")
	for h.nodes[0].central[class].partial.fullest() != 0 && h.nodes[0].central[class].spans == 1 && h.spans.at(m.page).free > 0 {
		var one [1]unsafe.Pointer
		if n, err := h.takeObjects(h.nodes[0], class, one[:]); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		index := int(uintptr(one[0])-uintptr(objects[0])) / int(k.size)
		m.live[index] = true
		m.taken(index)
		m.check(t, h, "taken")
		if random.IntN(4) == 0 {
			break // the others stay gone
		}
	}
	want := m.residentPages()
	for i, live := range m.live {
		if live {
			h.giveObjects(class, objects[i:i+1])
		}
	}
	if h.nodes[0].pages.used != 0 || h.nodes[0].pages.resident != want || h.nodes[0].gone.pieces.Load() != 0 {
		t.Fatalf("objects of %d bytes are free: %d pages used, %d resident, want %d", k.size, h.nodes[0].pages.used, h.nodes[0].pages.resident, want)
	}
	mustHold(t, h.CheckInvariants())
}

// keepSome says of one object or of some that they stay in use: whole OS pages
// between them become free. At least one is freed if there are two.
func keepSome(random *rand.Rand, live []bool) {
	keep := 1 + random.IntN(min(4, max(1, len(live)-1)))
	for range keep {
		live[random.IntN(len(live))] = true
	}
}

func fillObject(object unsafe.Pointer, k *class, value byte) {
	memory := bytesAt(object, int(k.size))
	for i := range memory {
		memory[i] = value
	}
}

func isFilled(object unsafe.Pointer, k *class, value byte) bool {
	for _, b := range bytesAt(object, int(k.size)) {
		if b != value {
			return false
		}
	}
	return true
}

// spread takes objects of a class, gives back the second of each span's and
// returns the first of each.
func spread(t *testing.T, h *Heap, class uint8, spans int) (firsts []unsafe.Pointer) {
	t.Helper()
	per := int(classes[class].perSpan)
	var all []unsafe.Pointer
	for len(all) < spans*per {
		var array [maxBatch]unsafe.Pointer
		n, err := h.takeObjects(h.nodes[0], class, array[:min(maxBatch, spans*per-len(all))])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, array[:n]...)
	}
	for i := range all {
		if i%per == 0 {
			firsts = append(firsts, all[i])
		} else {
			h.giveObjects(class, all[i:i+1])
		}
	}
	return firsts
}

// TestSweepAsksOn: it stops when more says no, and says that something is left.
func TestSweepAsksOn(t *testing.T) {
	class := ClassOf(4096)
	h := openHeap(t, MinReserve, 0)
	spread(t, h, class, 3*sweepChunk)
	released, left, err := h.sweep(true, func() bool { return false })
	all := h.Stats().CachedCentral
	if released == 0 || released > all/sweepChunk || !left || err != nil {
		t.Errorf("%d bytes of %d, something is left: %t, %v", released, all, left, err)
	}
	h.sweep(true, func() bool { return true })
	if gone := h.nodes[0].gone.pieces.Load() * pieceSize; gone != all {
		t.Errorf("%d bytes are gone, want %d", gone, all)
	}
	mustHold(t, h.CheckInvariants())
}

// TestSweepMeanwhile: while the lock is free between two chunks the span that comes
// next is freed.
func TestSweepMeanwhile(t *testing.T) {
	class := ClassOf(4096)
	h := openHeap(t, MinReserve, 0)
	firsts := spread(t, h, class, 8*sweepChunk)
	done := make(chan struct{})
	begun := false
	h.sweep(true, func() bool {
		if begun {
			select { // until the other one has the lock
			case <-done:
			case <-time.After(2 * time.Millisecond):
			}
			return true
		}
		begun = true
		go func() { // waits for the lock, and gets it after some chunks
			defer close(done)
			h.giveObjects(class, firsts)
		}()
		time.Sleep(20 * time.Millisecond)
		return true
	})
	<-done
	mustHold(t, h.CheckInvariants())
	if h.nodes[0].pages.used != 0 || h.nodes[0].gone.pieces.Load() != 0 {
		t.Errorf("all is free: %d pages are used, %d pieces are gone", h.nodes[0].pages.used, h.nodes[0].gone.pieces.Load())
	}
}

// TestSweepWaits: what nobody has touched is swept at the second look, and not
// again until somebody has touched it.
func TestSweepWaits(t *testing.T) {
	class := ClassOf(4096)
	h := openHeap(t, MinReserve, 0)
	firsts := spread(t, h, class, 1)
	sweep := func(want bool, wantLeft bool) {
		t.Helper()
		released, left, err := h.sweep(false, func() bool { return true })
		if (released > 0) != want || left != wantLeft || err != nil {
			t.Errorf("%d bytes, something is left: %t, %v", released, left, err)
		}
	}
	sweep(false, true)
	sweep(true, false)
	sweep(false, false)
	again := make([]unsafe.Pointer, 1)
	for _, touch := range []func(){
		func() { h.takeObjects(h.nodes[0], class, again) },
		func() { h.giveObjects(class, again) },
	} {
		touch()
		sweep(false, true)
		h.sweep(false, func() bool { return true })
		sweep(false, false)
	}
	if gone := h.nodes[0].gone.pieces.Load() * pieceSize; gone != h.Stats().CachedCentral {
		t.Errorf("%d bytes are gone, want %d", gone, h.Stats().CachedCentral)
	}
	h.giveObjects(class, firsts)
	mustHold(t, h.CheckInvariants())
}

// TestFullestFirst: objects come from the span with the fewest free ones.
func TestFullestFirst(t *testing.T) {
	class := ClassOf(1024)
	h := openHeap(t, MinReserve, 0)
	firsts := spread(t, h, class, 3)
	more := make([]unsafe.Pointer, classes[class].perSpan-2)
	if n, err := h.takeObjects(h.nodes[0], class, more); n != len(more) || err != nil {
		t.Fatal(n, err)
	}
	pages := func(object unsafe.Pointer) uint32 {
		return uint32(h.offsetOf(object)>>pageShift) / classes[class].pages
	}
	for _, object := range more {
		if pages(object) != pages(more[0]) {
			t.Fatalf("objects of the spans at %d and %d, while one is nearly full", pages(more[0]), pages(object))
		}
	}
	one := make([]unsafe.Pointer, 1)
	if n, err := h.takeObjects(h.nodes[0], class, one); n != 1 || err != nil || pages(one[0]) != pages(more[0]) {
		t.Errorf("%d objects, of the span at %d, while that at %d is nearly full: %v", n, pages(one[0]), pages(more[0]), err)
	}
	h.giveObjects(class, append(append(more, firsts...), one...))
	mustHold(t, h.CheckInvariants())
}
