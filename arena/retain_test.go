//go:build !vcpualloc_gomem

package arena

import (
	"testing"
	"time"
	"unsafe"
)

// allocPages allocates so many large blocks, which nobody touches.
func allocPages(t *testing.T, h *Heap, blocks, pages int) (list []unsafe.Pointer) {
	t.Helper()
	for range blocks {
		block, _, err := h.AllocLarge(pages<<pageShift, 1)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, block)
	}
	return list
}

// TestRetain frees large blocks one after the other: as much free memory stays as may,
// and what is beyond goes in the call.
func TestRetain(t *testing.T) {
	const blocks, pages = 40, 1024 // of 8 MiB
	for _, row := range []struct {
		name   string
		bytes  int64 // -1: RetainAtMost is not called
		others int   // pages in use all the time
		want   int64 // pages
	}{
		{"four blocks", 4 * pages << pageShift, 0, 4 * pages},
		{"four and a half", 4*pages<<pageShift + pages<<pageShift/2, 0, 4*pages + pages/2},
		{"one page", 1 << pageShift, 0, osPagesOr(1)},
		{"of itself", 0, 0, retainedLeast},
		{"of itself, much in use", 0, 24 * retainedLeast, 3 * retainedLeast},
		{"not bounded", -1, 0, blocks * pages},
	} {
		reserve := int64(blocks*pages+row.others)<<pageShift + MinReserve
		if reserve > MaxReserve {
			continue // addresses of 32 bits
		}
		t.Run(row.name, func(t *testing.T) {
			h := openHeap(t, reserve, 0)
			if row.bytes >= 0 {
				h.RetainAtMost(row.bytes)
			}
			if row.others > 0 {
				allocPages(t, h, 1, row.others)
			}
			for count, block := range allocPages(t, h, blocks, pages) {
				h.FreeLarge(block)
				want := min(int64(count+1)*pages, row.want)
				if got := h.nodes[0].pages.residentNow(); got != want && row.others == 0 {
					t.Fatalf("%d blocks are free: %d pages are resident, want %d", count+1, got, want)
				}
			}
			if got := h.nodes[0].pages.residentNow(); got != row.want {
				t.Errorf("%d free pages are resident, want %d", got, row.want)
			}
			mustHold(t, h.CheckInvariants())
		})
	}
	h := openHeap(t, 64<<20, 0)
	h.RetainAtMost(pages << pageShift)
	block := allocPages(t, h, 1, 3*pages)[0]
	if h.ShrinkLarge(block, pages<<pageShift); h.nodes[0].pages.residentNow() != pages {
		t.Errorf("a block was shrunk: %d free pages are resident, want %d", h.nodes[0].pages.residentNow(), pages)
	}
}

// osPagesOr returns pages, or none where an OS page is larger than these.
func osPagesOr(pages int64) int64 {
	if int64(osPages()) > pages {
		return 0
	}
	return pages
}

// TestReleaseRate has upkeep return a little in each round, of free pages and of what is
// free inside of spans, until all is gone; a soft limit takes no notice of it.
func TestReleaseRate(t *testing.T) {
	const pages, atOnce = 512, 32
	h := openByHand(t, NewBudget("test", nil, 0, 0))
	bounded := func(bytes int64) { h.ReleaseAtMost(bytes * int64(time.Second) / int64(h.upkeep.delay/stillLooks)) }
	h.upkeep.delay = stillLooks * time.Second
	bounded(atOnce << pageShift)
	if h.upkeep.pages != atOnce {
		t.Fatalf("%d pages in a round, want %d", h.upkeep.pages, atOnce)
	}
	class := ClassOf(pieceSize)
	var objects, kept []unsafe.Pointer
	for range pages * piecesPerPage / 2 {
		object, err := h.Alloc(class)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	for i, object := range objects {
		if i%2 == 0 {
			kept = append(kept, object)
		} else {
			h.Free(class, object)
		}
	}
	freePages(t, h, pages)
	released := func() (bytes int64) { return h.Stats().Released }
	rounds, again := 0, true
	for before := released(); again; rounds++ {
		again = h.maintain()
		now := released()
		// A sweep looks whether to go on when it has done a span.
		if most := int64(atOnce+int(classes[class].pages)) << pageShift; now-before > most {
			t.Fatalf("round %d: %d bytes were returned, at most %d may be", rounds, now-before, most)
		}
		if before = now; rounds > 4*pages {
			t.Fatal("it does not end")
		}
	}
	if free := h.nodes[0].pages.residentNow(); osPages() == 1 && (rounds < pages/atOnce || free > 0 || h.Gone() < pages/8*pieceSize) {
		t.Errorf("after %d rounds %d free pages are resident, and %d bytes are gone inside of spans", rounds, free, h.Gone())
	}
	if !h.sweepSome(0) {
		t.Error("a sweep that may return nothing leaves nothing")
	}
	mustHold(t, h.CheckInvariants())

	soft := openByHand(t, NewBudget("test", nil, 0, 1<<20))
	soft.upkeep.pages = 1
	freePages(t, soft, pages)
	if soft.maintain(); soft.nodes[0].pages.residentNow() != 0 {
		t.Errorf("a soft limit is exceeded, and %d free pages are resident", soft.nodes[0].pages.residentNow())
	}
	for _, object := range kept {
		h.Free(class, object)
	}
}
