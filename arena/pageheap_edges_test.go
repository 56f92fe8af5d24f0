package arena

import (
	"errors"
	"math"
	"testing"
	"time"
)

// pageHeapWithFree returns a page heap of 2048 pages with so many resident free ones at its
// beginning, of which takeLow knows.
func pageHeapWithFree(t *testing.T, free uint32) *pageHeap {
	t.Helper()
	h := newPageHeap(t, 2048, math.MaxInt64>>pageShift)
	first, _, err := h.alloc(free, 1)
	if err != nil || first != firstPage {
		t.Fatal(first, err)
	}
	h.release(first)
	h.takeLow()
	return h
}

// TestTakeLowIsTheLeastSinceTheCallBefore: each way to take free pages lowers what takeLow
// returns, and pages that come back do not raise it.
func TestTakeLowIsTheLeastSinceTheCallBefore(t *testing.T) {
	const free = 100
	for _, row := range []struct {
		name string
		take func(h *pageHeap, run, pages uint32)
	}{
		{"alloc", func(h *pageHeap, run, pages uint32) {
			first, _, err := h.alloc(pages, 1)
			if err != nil {
				t.Fatal(err)
			}
			h.release(first)
		}},
		{"extend", func(h *pageHeap, run, pages uint32) {
			if _, ok := h.extend(run, pages); !ok {
				t.Fatalf("%d pages behind the run are free, and it does not grow", pages)
			}
			h.shrink(run, 10)
		}},
	} {
		h := pageHeapWithFree(t, free)
		run, _, err := h.alloc(10, 1)
		if err != nil {
			t.Fatal(err)
		}
		h.takeLow()
		row.take(h, run, 30)
		row.take(h, run, 5)
		if low := h.takeLow(); low != free-10-30 {
			t.Errorf("%s: at the least %d pages were free, want %d", row.name, low, free-10-30)
		}
		row.take(h, run, 5)
		if low := h.takeLow(); low != free-10-5 {
			t.Errorf("%s: since the call before at the least %d pages were free, want %d", row.name, low, free-10-5)
		}
		if low := h.takeLow(); low != free-10 {
			t.Errorf("%s: nothing was taken, and %d pages were free at the least, want %d", row.name, low, free-10)
		}
		mustHold(t, h.checkInvariants())
	}
}

// TestExtendUpToTheEnds lets a run grow up to the next one, the end of the range and the
// limit, and not by a page more.
func TestExtendUpToTheEnds(t *testing.T) {
	const size = 2048
	extend := func(what string, h *pageHeap, run, more uint32, want bool) {
		t.Helper()
		used, charged, pages, top := h.used, h.budget.charged.Load(), h.spans.at(run).pages, h.top
		_, ok := h.extend(run, more)
		if ok != want {
			t.Fatalf("%s: %d pages more: %t", what, more, ok)
		}
		mustHold(t, h.checkInvariants())
		if grown := int64(h.spans.at(run).pages - pages); ok != (grown == int64(more)) || h.used-used != grown || !ok && (h.budget.charged.Load() != charged || h.top != top) {
			t.Fatalf("%s: %d pages more: %t, the run has %d more, %d pages more are used, %d charged, and new ones up to %d, before %d",
				what, more, ok, grown, h.used-used, h.budget.charged.Load()-charged, h.top, top)
		}
	}
	alloc := func(h *pageHeap, pages uint32) uint32 {
		t.Helper()
		first, _, err := h.alloc(pages, 1)
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	h := newPageHeap(t, size, math.MaxInt64>>pageShift)
	run, gap := alloc(h, 10), alloc(h, 20)
	next := alloc(h, 30)
	extend("a run in use behind it", h, run, 1, false)
	h.release(gap)
	extend("20 free pages behind it", h, run, 21, false)
	extend("20 free pages behind it", h, run, 20, true)
	extend("a run in use behind it", h, run, 1, false)
	rest := uint32(size) - next - 30
	for _, absurd := range []uint32{rest + 1, maxPages, math.MaxUint32} {
		extend("the end of the range", h, next, absurd, false)
	}
	extend("the end of the range", h, next, rest, true)
	extend("the end of the range", h, next, 1, false)

	h = newPageHeap(t, size, 100)
	run = alloc(h, 90)
	extend("a limit", h, run, 11, false)
	extend("a limit", h, run, 10, true)
	h.release(run)
	if h.used != 0 {
		t.Errorf("%d pages are used, and nothing is", h.used)
	}
	mustHold(t, h.checkInvariants())
}

// TestExtendTellsDirtyPages: pages that held bytes are dirty, new ones are not.
func TestExtendTellsDirtyPages(t *testing.T) {
	h := pageHeapWithFree(t, 20)
	run, _, err := h.alloc(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if dirty, ok := h.extend(run, 10); !ok || !dirty {
		t.Errorf("pages that were handed out before: extended: %t, dirty: %t", ok, dirty)
	}
	if dirty, ok := h.extend(run, 10); !ok || dirty {
		t.Errorf("new pages: extended: %t, dirty: %t", ok, dirty)
	}
}

// TestPageHeapChargesInsideOfSpans: for pages that come back inside of a span free ones are
// returned, as many as it takes, and none where there is room.
func TestPageHeapChargesInsideOfSpans(t *testing.T) {
	const limit = 100
	h := newPageHeap(t, 2048, limit)
	var runs [2]uint32
	for i := range runs {
		first, _, err := h.alloc(40, 1)
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = first
	}
	h.release(runs[1])
	charge := func(pages, resident, charged int64) {
		t.Helper()
		if err := h.charge(pages); err != nil {
			t.Fatalf("%d pages: %v", pages, err)
		}
		if h.resident != resident || h.budget.charged.Load() != charged {
			t.Fatalf("%d pages: %d free ones are resident, want %d, %d are charged, want %d", pages, h.resident, resident, h.budget.charged.Load(), charged)
		}
	}
	charge(0, 40, 80)
	charge(20, 40, 100)
	charge(1, 0, 61)
	charge(39, 0, 100)
	var full *LimitError
	if err := h.charge(1); !errors.As(err, &full) || full.Want != PageSize || full.InUse != limit<<pageShift || full.Limit != limit<<pageShift {
		t.Errorf("a page more than the limit: %+v", full)
	}
	if err := h.charge(0); err != nil {
		t.Error(err)
	}
	charge(-60, 0, 40)
	mustHold(t, h.checkInvariants())
}

// TestPageHeapChargeAwaits charges pages while those that are to make room are on their way
// to the system.
func TestPageHeapChargeAwaits(t *testing.T) {
	h := newPageHeap(t, 2048, 100)
	first, _, err := h.alloc(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	h.release(first)
	h.mu.Lock()
	s := *h.take(first)
	h.resident += int64(s.resident)
	h.transit += int64(s.pages)
	h.mu.Unlock()
	result := make(chan error, 1)
	go func() { result <- h.charge(50) }()
	select {
	case err := <-result:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	h.mu.Lock()
	h.resident -= int64(s.resident)
	h.transit -= int64(s.pages)
	h.budget.charge(-int64(s.resident))
	s.resident = 0
	h.spans.setBare(first, s.pages)
	h.put(first, s)
	h.mu.Unlock()
	h.arrived.Broadcast()
	if err := <-result; err != nil || h.budget.charged.Load() != 50 {
		t.Errorf("%d pages are charged; %v", h.budget.charged.Load(), err)
	}
}

// TestAllocRoomyTakesTheLongest: a run that is to grow comes from a free span that is four
// times as long, rather than from one that just fits, and else lies in new pages.
func TestAllocRoomyTakesTheLongest(t *testing.T) {
	h := newPageHeap(t, 2048, math.MaxInt64>>pageShift)
	var runs []uint32
	for _, pages := range []uint32{10, 1, 40, 1, 60} {
		first, _, err := h.alloc(pages, 1)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, first)
	}
	h.release(runs[0])
	h.release(runs[2])
	if first, dirty, err := h.allocRoomy(10); err != nil || first != runs[2] || !dirty {
		t.Errorf("10 pages at %d, dirty: %t, %v; want the beginning of 40 free ones at %d", first, dirty, err, runs[2])
	}
	// 10 and 30 free pages: neither has four times 10.
	first, dirty, err := h.allocRoomy(10)
	if err != nil || first < runs[4]+60 || dirty {
		t.Fatalf("10 pages at %d, dirty: %t, %v; want new ones", first, dirty, err)
	}
	if free := h.freeFrom(first + 10); free < 30 {
		t.Errorf("%d free pages are behind the run, want at least 30", free)
	}
	// Where all pages are used, one that fits will do.
	for {
		if _, _, err := h.alloc(31, 1); err != nil {
			break
		}
	}
	if first, _, err := h.allocRoomy(10); err != nil || h.top != h.end {
		t.Errorf("10 pages at %d, %v; %d pages were never used", first, err, h.end-h.top)
	}
	mustHold(t, h.checkInvariants())
}
