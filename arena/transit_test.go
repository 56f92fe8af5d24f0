package arena

import (
	"runtime"
	"testing"
	"time"
)

// TestPageHeapWhileReturning takes all that the limit allows while just that is on its
// way to the system: it counts as free, and is waited for.
func TestPageHeapWhileReturning(t *testing.T) {
	const limit, rounds = 2048, 20
	h := newPageHeap(t, 4*limit, limit)
	met := 0
	for range rounds {
		first, _, err := h.alloc(limit, 1)
		if err != nil {
			t.Fatal(err)
		}
		for page := range uint32(limit) {
			h.bytesOf(first+page, 1)[0] = 1 // takes memory, so that to return it takes a while
		}
		h.release(first)
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.trim(func() bool { return true })
		}()
		for waiting := true; waiting; {
			h.mu.Lock()
			onTheWay := h.transit > 0
			h.mu.Unlock()
			select {
			case <-done:
				waiting = false
			default:
				waiting = !onTheWay
			}
			if onTheWay {
				met++
			}
		}
		again, _, err := h.alloc(limit, 1)
		if err != nil {
			t.Fatalf("all is free, or on its way: %v", err)
		}
		h.release(again)
		<-done
		mustHold(t, h.checkInvariants())
	}
	t.Logf("pages were on their way %d times of %d", met, rounds)
}

// TestTrimWaits trims while all that is free is on its way to the system already.
func TestTrimWaits(t *testing.T) {
	const pages = 64
	h := newPageHeap(t, 1024, 0)
	h.spareHuge(HugeAdvise) // returns under a lock that the test can hold
	first, _, err := h.alloc(pages, 1)
	if err != nil {
		t.Fatal(err)
	}
	h.bytesOf(first, 1)[0] = 1
	h.release(first)
	h.huge.advising.Lock()
	go h.returnPages(pages, true)
	onTheWay := func() int64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.transit
	}
	for onTheWay() == 0 {
		runtime.Gosched()
	}
	trimmed := make(chan struct{})
	go func() {
		defer close(trimmed)
		h.trim(func() bool { return true })
	}()
	select {
	case <-trimmed:
		t.Error("trim has returned although free memory has not gone")
	case <-time.After(50 * time.Millisecond):
	}
	h.huge.advising.Unlock()
	<-trimmed
	if onTheWay() != 0 || h.residentNow() != 0 {
		t.Errorf("after trim %d pages are on their way, and %d are resident", onTheWay(), h.residentNow())
	}
	mustHold(t, h.checkInvariants())
}
