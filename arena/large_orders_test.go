//go:build !vcpualloc_gomem

package arena

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// freeOrders are orders of freeing, as permutations of the numbers below n.
var freeOrders = []struct {
	name string
	at   func(i, n int) int
}{
	{"allocation", func(i, n int) int { return i }},
	{"reverse", func(i, n int) int { return n - 1 - i }},
	{"even-odd", func(i, n int) int { return (2*i)%n + 2*i/n }},
	{"inside-out", func(i, n int) int { return n/2 + (i+1)/2*(1-i%2*2) }},
}

// TestFreeLargeInAnyOrder frees many large blocks, so that most of their memory goes back
// at once: the system is asked for each page about once, whatever the order.
func TestFreeLargeInAnyOrder(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing could be returned
	}
	const blocks, pages = 1000, 33
	for _, order := range freeOrders {
		for _, huge := range []HugePages{HugeSystem, HugeAdvise} {
			t.Run(fmt.Sprintf("%s/%v", order.name, huge), func(t *testing.T) {
				h := openHeap(t, min(2*blocks*pages<<pageShift+MinReserve, MaxReserve), 0)
				n := h.nodes[0]
				if huge != HugeSystem {
					n.pages.spareHuge(huge)
				}
				h.RetainAtMost(blocks * pages / 8 << pageShift)
				list := allocPages(t, h, blocks, pages)
				for i := range blocks {
					h.FreeLarge(list[order.at(i, blocks)])
				}
				if n.pages.used != 0 || n.pages.released < blocks*pages*3/4 {
					t.Errorf("%d pages are used, %d were returned of %d", n.pages.used, n.pages.released, blocks*pages)
				}
				most := 2 * n.pages.released
				if huge != HugeSystem {
					most += blocks * regionPages // a call is about a whole huge page
				}
				if n.pages.asked > most {
					t.Errorf("the system was asked to take %d pages, to return %d", n.pages.asked, n.pages.released)
				}
				mustHold(t, h.CheckInvariants())
			})
		}
	}
}

// TestFreeOrders checks that the orders are permutations.
func TestFreeOrders(t *testing.T) {
	for _, order := range freeOrders {
		for _, n := range []int{2, 1000} {
			var all []int
			for i := range n {
				all = append(all, order.at(i, n))
			}
			slices.Sort(all)
			if all[0] != 0 || all[n-1] != n-1 || len(slices.Compact(all)) != n {
				t.Errorf("%s of %d: %v", order.name, n, all)
			}
		}
	}
}

// BenchmarkFreeLarge frees blocks of 256 KiB + 1 in several orders.
func BenchmarkFreeLarge(b *testing.B) {
	for _, order := range freeOrders {
		for _, blocks := range []int{1000, 16000} {
			b.Run(fmt.Sprintf("order=%s/blocks=%d", order.name, blocks), func(b *testing.B) {
				h := openHeap(b, int64(blocks)*2*(MaxSmall+PageSize)+MinReserve, 0)
				h.RetainAtMost(0)
				for b.Loop() {
					b.StopTimer()
					var list []unsafe.Pointer
					for range blocks {
						block, _, err := h.AllocLarge(MaxSmall+1, 1)
						if err != nil {
							b.Fatal(err)
						}
						list = append(list, block)
					}
					b.StartTimer()
					for i := range list {
						h.FreeLarge(list[order.at(i, blocks)])
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*blocks), "ns/free")
			})
		}
	}
}

// TestCandidates compares the search for the last candidate of free runs with a model, on
// tables with several words of words.
func TestCandidates(t *testing.T) {
	const pages = 3 * wordBits * wordBits * groupPages / 2
	random := steady.Random(t)
	table := newSpanTable(t, pages)
	mustHold(t, table.back(pages))
	table.setBare(0, pages)
	var model []uint32 // candidates, in order
	for range 3000 {
		first := random.Uint32N(pages)
		count := min(1+random.Uint32N(1<<random.Uint32N(19)), pages-first)
		switch random.IntN(3) {
		case 0:
			count = min(count, 200)
			table.candidates.set(first, count)
			for page := first; page < first+count; page++ {
				mark := byte(random.IntN(3))
				if *table.goneAt(page) = mark; random.IntN(4) == 0 {
					*table.goneAt(page) |= refused
					mark = refused
				}
				at, found := slices.BinarySearch(model, page)
				if mark == refused && found {
					model = slices.Delete(model, at, at+1)
				} else if mark != refused && !found {
					model = slices.Insert(model, at, page)
				}
			}
		case 1:
			table.setBare(first, count)
			from, _ := slices.BinarySearch(model, first)
			end, _ := slices.BinarySearch(model, first+count)
			model = slices.Delete(model, from, end)
		}
		want := uint32(0)
		if at, _ := slices.BinarySearch(model, first+count); at > 0 && model[at-1] >= first {
			want = model[at-1]
		}
		if got := table.lastCandidate(first, first+count); got != want {
			t.Fatalf("the last candidate of %d pages at %d: %d, want %d", count, first, got, want)
		}
	}
}

// TestReturnLeavesOutBareGaps returns a free run whose memory lies at both ends of a long
// part that has none: the system is asked for the ends alone. A short one goes along.
func TestReturnLeavesOutBareGaps(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing could be returned
	}
	const pages, end = 1024, 64
	for _, test := range []struct{ gap, asked uint32 }{{pages - 2*end, 2 * end}, {bareGap / 2, 2*end + bareGap/2}} {
		h := newPageHeap(t, 2*pages, math.MaxInt64>>pageShift)
		first, _, err := h.alloc(2*end+test.gap, 1)
		if err != nil {
			t.Fatal(err)
		}
		h.spans.setBare(first+end, test.gap)
		h.budget.charge(-int64(test.gap)) // as for spans of objects that were swept
		h.release(first)
		if returned, err := h.trim(func() bool { return true }); returned != 2*end || err != nil || h.asked != int64(test.asked) {
			t.Errorf("a gap of %d pages: %d returned, want %d; the system was asked for %d, want %d; %v", test.gap, returned, 2*end, h.asked, test.asked, err)
		}
		mustHold(t, h.checkInvariants())
	}
}

// TestRefusedAmongNeighbours marks a run as refused, frees the runs on both sides of it,
// and takes pages out of the whole: only what was not refused can go, until retry.
func TestRefusedAmongNeighbours(t *testing.T) {
	const pages = 3 * granulePages
	h := newPageHeap(t, 2048, math.MaxInt64>>pageShift)
	var runs [5]uint32
	for i := range runs {
		first, _, err := h.alloc(pages, 1)
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = first
	}
	h.release(runs[2])
	h.mu.Lock()
	s := *h.take(runs[2])
	h.refuse(runs[2], runs[2]+pages)
	s.refused = true
	h.put(runs[2], s)
	h.mu.Unlock()
	if h.refused != pages || h.canReturn() {
		t.Errorf("%d pages are refused, want %d; some can go: %t", h.refused, pages, h.canReturn())
	}
	for _, i := range []int{1, 3} {
		h.release(runs[i])
		mustHold(t, h.checkInvariants())
	}
	returned := h.returnPages(math.MaxInt32, true)
	if want := int64(2 * pages); osmem.CanRelease && (returned != want || h.resident != pages) {
		t.Errorf("%d pages were returned, want %d; %d are resident, want %d", returned, want, h.resident, pages)
	}
	mustHold(t, h.checkInvariants())
	// Out of the middle of what was refused.
	h.mu.Lock()
	h.cut(runs[1], pages+2, 3)
	h.mu.Unlock()
	mustHold(t, h.checkInvariants())
	if h.refused != pages-3 || h.canReturn() {
		t.Errorf("%d pages are refused, want %d; some can go: %t", h.refused, pages-3, h.canReturn())
	}
	h.mu.Lock()
	h.retry()
	h.mu.Unlock()
	mustHold(t, h.checkInvariants())
	if h.refused != 0 || h.resident > 0 && !h.canReturn() {
		t.Errorf("%d pages are refused after retry", h.refused)
	}
}
