//go:build !vcpualloc_gomem

package arena

import (
	"errors"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// openByHand returns a heap whose rounds of upkeep the test does itself.
func openByHand(t *testing.T, budget *Budget) *Heap {
	t.Helper()
	if !osmem.CanRelease {
		t.Skip("this system takes no memory back")
	}
	h := new(Heap)
	if err := h.Open(Config{Name: "by hand", Reserve: MinReserve, Budget: budget}); err != nil {
		t.Fatal(err)
	}
	h.ReleaseAfter(time.Hour)
	h.upkeep.running.Store(true)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// freePages frees a large block of so many pages, which are resident then.
func freePages(t *testing.T, h *Heap, pages int) {
	t.Helper()
	block, _, err := h.AllocLarge(pages<<pageShift, 1)
	if err != nil || !h.FreeLarge(block) {
		t.Fatal(block, err)
	}
}

// TestUpkeepWaits: free pages go back when nobody has needed them for two rounds,
// and not before; and what is used in each round stays.
func TestUpkeepWaits(t *testing.T) {
	const pages = growPages // so that a span has no others
	h := openByHand(t, NewBudget("test", nil, 0, 0))
	freePages(t, h, pages)
	for round, want := range []int64{pages, pages, 0} {
		if again := h.maintain(); h.nodes[0].pages.resident != want || !again && want > 0 {
			t.Errorf("round %d: %d pages are resident, want %d; it goes on: %t", round, h.nodes[0].pages.resident, want, again)
		}
	}
	for round := range 6 {
		freePages(t, h, pages)
		if h.maintain(); h.nodes[0].pages.resident != pages {
			t.Errorf("round %d, in which all are used: %d pages are resident, want %d", round, h.nodes[0].pages.resident, pages)
		}
	}
	mustHold(t, h.CheckInvariants())
}

// TestUpkeepSoftLimit: above a soft limit, the heap's own or one above, free pages
// go back in the next round.
func TestUpkeepSoftLimit(t *testing.T) {
	const pages = 100
	for name, budget := range map[string]*Budget{
		"own":   NewBudget("own", nil, 0, pages<<pageShift-1),
		"above": NewBudget("own", NewBudget("above", nil, 0, pages<<pageShift-1), 0, 0),
		"none":  NewBudget("own", NewBudget("above", nil, 0, pages<<pageShift), 0, pages<<pageShift),
	} {
		h := openByHand(t, budget)
		freePages(t, h, pages)
		h.maintain()
		if left := h.nodes[0].pages.resident; (left == 0) != (name != "none") {
			t.Errorf("%s: %d pages are resident", name, left)
		}
	}
}

// TestUpkeepEmptiesMagazines: what lies in magazines goes to the spans and, since it
// has waited, to the system at once; but there is a fence once a second at the most.
func TestUpkeepEmptiesMagazines(t *testing.T) {
	h := openByHand(t, NewBudget("test", nil, 0, 0))
	const count = 3 * maxBatch // more than is moved at once
	class := ClassOf(64)
	free := func() {
		var blocks []unsafe.Pointer
		for range count {
			block, err := h.Alloc(class)
			if err != nil {
				t.Fatal(err)
			}
			blocks = append(blocks, block)
		}
		for _, block := range blocks {
			h.Free(class, block)
		}
	}
	rounds := func() {
		for range stillLooks + 2 {
			h.maintain()
		}
	}
	steady.OnOneVCPU(t, free)
	begun := time.Now()
	before := rseqcs.ReadStats().Fences
	rounds()
	fences := rseqcs.ReadStats().Fences - before
	if held := h.heldByVCPUs(); held != 0 || h.nodes[0].pages.used != 0 || h.nodes[0].pages.resident != 0 || h.Stats().Live != 0 {
		t.Errorf("%d bytes in magazines, %d pages in use and %d resident", held, h.nodes[0].pages.used, h.nodes[0].pages.resident)
	}
	mustHold(t, h.CheckInvariants())
	free()
	rounds()
	if since := rseqcs.ReadStats().Fences - before - fences; fences > 1 || time.Since(begun) < fenceInterval && since > 0 {
		t.Errorf("%d fences, and within a second %d more", fences, since)
	}
	h.upkeep.drained = time.Now().Add(-time.Second)
	rounds()
	if held := h.heldByVCPUs(); held != 0 {
		t.Errorf("a second later %d bytes are in magazines", held)
	}
	mustHold(t, h.CheckInvariants())
}

// TestUpkeepFencesOnceASecond: half a second after a fence there is no other one.
func TestUpkeepFencesOnceASecond(t *testing.T) {
	h := openByHand(t, NewBudget("test", nil, 0, 0))
	class := ClassOf(64)
	object, err := h.Alloc(class)
	if err != nil {
		t.Fatal(err)
	}
	h.Free(class, object)
	drained := time.Now().Add(-time.Second / 2)
	h.upkeep.drained = drained
	for range stillLooks + 2 {
		h.emptyIdle()
	}
	if held := h.heldByVCPUs(); held == 0 && time.Since(drained) < time.Second {
		t.Errorf("%v after a fence the magazines are empty", time.Since(drained))
	}
	h.upkeep.drained = time.Now().Add(-time.Second)
	if h.emptyIdle(); h.heldByVCPUs() != 0 {
		t.Errorf("a second after a fence %d bytes are in magazines", h.heldByVCPUs())
	}
}

// TestUpkeepSweeps: the free OS pages of a span with objects in use go back, too.
func TestUpkeepSweeps(t *testing.T) {
	h := openByHand(t, NewBudget("test", nil, 0, 0))
	firsts := spread(t, h, ClassOf(4096), 1)
	for range stillLooks * sweptStill {
		if h.nodes[0].gone.pieces.Load() != 0 {
			t.Error("swept before its time")
		}
		h.maintain()
	}
	if gone := h.nodes[0].gone.pieces.Load() * pieceSize; gone == 0 || gone != h.Stats().CachedCentral {
		t.Errorf("%d bytes are gone, want %d", gone, h.Stats().CachedCentral)
	}
	h.giveObjects(ClassOf(4096), firsts)
}

// TestSurplus: a transfer cache gives away what nobody has needed since the call
// before the last one, the oldest first.
func TestSurplus(t *testing.T) {
	const class = 1
	var cache transfer
	memory := make([]uint64, 40)
	var objects []unsafe.Pointer
	for i := range memory {
		objects = append(objects, unsafe.Pointer(&memory[i]))
	}
	var array [64]unsafe.Pointer
	surplus := func(want ...unsafe.Pointer) {
		t.Helper()
		if n := cache.surplus(array[:]); !slices.Equal(array[:n], want) {
			t.Errorf("%d objects, or others; want %d", n, len(want))
		}
	}
	cache.give(class, objects[:30])
	surplus() // the time of observation begins
	surplus()
	cache.take(array[:10]) // ten of them are needed
	cache.give(class, objects[30:40])
	surplus(objects[:20]...)
	if n := cache.len(); n != 10 {
		t.Errorf("%d objects are left, want 10", n)
	}
	surplus()
	surplus(objects[30:40]...)
	if n := cache.take(array[:]); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	// In parts: the time of observation is the same for all of them.
	cache = transfer{}
	cache.give(class, objects)
	surplus()
	surplus()
	var got []unsafe.Pointer
	for n := 16; n == 16; got = append(got, array[:n]...) {
		n = cache.surplus(array[:16])
	}
	if !slices.Equal(got, objects) {
		t.Errorf("%d objects, or in another order; want %d", len(got), len(objects))
	}
}

// TestUpkeepBegins: each slow path that leaves something behind makes the goroutine
// run, and again when it has ended.
func TestUpkeepBegins(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing could be returned
	}
	class := ClassOf(100)
	for name, leave := range map[string]func(h *Heap) error{
		"a refill": func(h *Heap) error {
			_, err := h.refill(class)
			return err
		},
		"a free large block": func(h *Heap) error {
			block, _, err := h.AllocLarge(10*PageSize, 1)
			h.FreeLarge(block)
			return err
		},
		"a shrunk block": func(h *Heap) error {
			block, _, err := h.AllocLarge(10*PageSize, 1)
			h.ShrinkLarge(block, 5*PageSize)
			return err
		},
		"a full magazine": func(h *Heap) error {
			objects := make([]unsafe.Pointer, 4*classes[class].batch)
			for i := range objects {
				if n, err := h.takeObjects(h.nodes[0], class, objects[i:i+1]); n == 0 {
					return err
				}
			}
			for _, object := range objects {
				h.Free(class, object)
			}
			return nil
		},
	} {
		h := openHeap(t, MinReserve, 0)
		h.ReleaseAfter(2 * time.Millisecond)
		for turn := range 2 {
			if err := leave(h); err != nil {
				t.Fatal(err)
			}
			if !h.upkeep.running.Load() && h.nodes[0].pages.residentNow() > 0 {
				t.Fatalf("%s, turn %d: the goroutine does not run", name, turn)
			}
			waitFor(t, name, func() bool { return !h.upkeep.running.Load() })
			if free := h.nodes[0].pages.residentNow() + h.heldByVCPUs(); free != 0 {
				t.Errorf("%s, turn %d: %d pages and bytes are left", name, turn, free)
			}
			h.upkeep.group.Wait()
			h.upkeep.drained = h.upkeep.drained.Add(-fenceInterval)
		}
	}
}

// TestUpkeepTriesAgain: what the system did not take once is tried again when the
// goroutine begins.
func TestUpkeepTriesAgain(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing could be returned
	}
	h := openHeap(t, MinReserve, 0)
	freePages(t, h, growPages)
	h.nodes[0].pages.mu.Lock()
	page := h.nodes[0].pages.backed.last(&h.spans)
	s := *h.nodes[0].pages.take(page)
	h.nodes[0].pages.refuse(page, page+s.pages)
	s.refused = true
	h.nodes[0].pages.put(page, s)
	if again := h.nodes[0].pages.returnOne(maxPages, true); again {
		t.Error("what was refused is tried again at once")
	}
	h.nodes[0].pages.mu.Unlock()
	h.ReleaseAfter(2 * time.Millisecond)
	h.upkeep.begin(h)
	waitFor(t, "stuck pages", func() bool { return h.nodes[0].pages.residentNow() == 0 })
	h.upkeep.end()
	mustHold(t, h.CheckInvariants())
}

// waitFor waits until is returns true.
func waitFor(t *testing.T, name string, is func() bool) {
	t.Helper()
	stress.Until(t, func() error {
		if !is() {
			return errors.New(name)
		}
		return nil
	})
}

// TestUpkeepIsAlone: while somebody else has the objects of the caches in their
// hands, no round takes any.
func TestUpkeepIsAlone(t *testing.T) {
	h := openByHand(t, NewBudget("test", nil, 0, 0))
	class := ClassOf(100)
	object, err := h.Alloc(class)
	if err != nil {
		t.Fatal(err)
	}
	h.Free(class, object)
	for range stillLooks {
		h.maintain()
	}
	before := h.heldByVCPUs()
	h.draining.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.maintain()
		h.maintain()
	}()
	select {
	case <-done:
		t.Error("two rounds have come to an end")
	case <-time.After(30 * time.Millisecond):
	}
	if held := h.heldByVCPUs(); held != before || held == 0 {
		t.Errorf("%d bytes in magazines, before %d", held, before)
	}
	h.draining.Unlock()
	<-done
	if held := h.heldByVCPUs(); held != 0 {
		t.Errorf("%d bytes in magazines", held)
	}
}
