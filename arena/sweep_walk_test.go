//go:build !vcpualloc_gomem

package arena

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestSweepGoesOnInItsList frees the span at which a sweep is about to go on while it
// gives up the lock, and makes a span of the same pages that is in no list yet, as newSpan
// leaves it: the sweep comes to all others.
func TestSweepGoesOnInItsList(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing could be returned
	}
	const spans = 40
	class := ClassOf(4096)
	h := openHeap(t, 2*MinReserve, 0)
	n := h.nodes[0]
	c := &n.central[class]
	firsts := map[uint32]unsafe.Pointer{}
	for _, first := range spread(t, h, class, spans) {
		firsts[uint32(h.offsetOf(first)>>pageShift)] = first
	}
	looks := 0
	gap := func() bool {
		// After each span, and once more where the lock is given up.
		if looks++; looks != sweepChunk+1 {
			return true
		}
		at := c.partial.cursors[0].next
		if twice, _ := h.giveRuns(c, class, []unsafe.Pointer{firsts[at]}); twice != nil {
			t.Fatalf("the object on page %d is free already", at)
		}
		delete(firsts, at)
		run, _, err := n.pages.alloc(classes[class].pages, 1)
		if err != nil || run != at {
			t.Fatalf("a run at page %d, want %d: %v", run, at, err)
		}
		s := h.spans.at(run)
		s.state, s.class, s.free = spanSmall, class, classes[class].perSpan
		return true
	}
	if _, _, err := h.sweep(true, gap); err != nil {
		t.Fatal(err)
	}
	swept := 0
	for page := range firsts {
		if h.spans.at(page).gone > 0 {
			swept++
		}
	}
	if swept != spans-1 || len(c.partial.cursors) != 0 {
		t.Errorf("%d spans of %d were swept, %d walks go on", swept, spans-1, len(c.partial.cursors))
	}
}

// TestWalk changes the lists at random during walks: a walk comes to every span that stays
// where it is, never to one that is in no list, and knows that it may have missed some.
func TestWalk(t *testing.T) {
	const places = 60
	random := steady.Random(t)
	class := ClassOf(64)
	perSpan := classes[class].perSpan
	table := newSpanTable(t, places+1)
	mustHold(t, table.back(places+1))
	for range 300 {
		var f fullness
		listed, moved := map[uint32]uint32{}, map[uint32]bool{}
		push := func(page uint32) {
			free := 1 + random.Uint32N(perSpan-1)
			*table.at(page) = span{state: spanSmall, class: class, free: free}
			f.push(table, page)
			listed[page] = free
		}
		for page := uint32(1); page <= places; page++ {
			if random.IntN(2) == 0 {
				push(page)
			}
		}
		seen, filed := map[uint32]bool{}, false
		other, c := f.walk(), f.walk()
		for list := range f.lists {
			c.next = f.lists[list].first
			for c.next != 0 {
				if listed[c.next] == 0 {
					t.Fatalf("the walk is at page %d, which is in no list", c.next)
				}
				seen[c.next] = true
				c.next = table.at(c.next).next
				for range random.IntN(4) {
					page := 1 + random.Uint32N(places)
					moved[page] = true
					switch free := listed[page]; {
					case free == 0:
						push(page)
						filed = true
					case random.IntN(2) == 0:
						f.remove(table, page, free)
						delete(listed, page)
					default:
						table.at(page).free = 1 + random.Uint32N(perSpan-1)
						filed = filed || f.listOf(table, page, free) != f.listOf(table, page, table.at(page).free)
						f.refile(table, page, free)
						listed[page] = table.at(page).free
					}
				}
			}
		}
		for page := range listed {
			if !seen[page] && !moved[page] {
				t.Fatalf("page %d was missed, though it has not moved", page)
			}
		}
		if c.moved != filed {
			t.Fatalf("spans were filed: %t, the walk says %t", filed, c.moved)
		}
		f.endWalk(c)
		if len(f.cursors) != 1 || f.cursors[0] != other {
			t.Fatal("the wrong walk was ended")
		}
	}
}
