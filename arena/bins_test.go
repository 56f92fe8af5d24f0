package arena

import (
	"math/rand/v2"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestBinOf checks that the bins are in the order of the lengths in them.
func TestBinOf(t *testing.T) {
	bin := binOf(1)
	if bin != 0 {
		t.Fatalf("one page is in bin %d", bin)
	}
	for pages := uint32(2); pages <= 1<<20; pages++ {
		switch next := binOf(pages); {
		case next != bin && next != bin+1, pages <= exactBins && next != bin+1:
			t.Fatalf("%d pages: bin %d after bin %d", pages, next, bin)
		default:
			bin = next
		}
	}
	if bin := binOf(1 << 29); bin != binCount-1 {
		t.Errorf("the longest span is in bin %d of %d", bin, binCount)
	}
}

// TestBinsFind compares find with a search of all spans.
func TestBinsFind(t *testing.T) {
	const places = 256 // spans stand at these pages; their lengths are made up
	random := steady.Random(t)
	table := newSpanTable(t, places+1)
	if err := table.back(places + 1); err != nil {
		t.Fatal(err)
	}
	var b bins
	model := map[uint32]bool{}
	for step := range 6_000 {
		page := 1 + random.Uint32N(places)
		switch s := table.at(page); {
		case model[page]:
			b.remove(table, page)
			delete(model, page)
		case random.IntN(2) == 0 || len(model) < places/2:
			*s = span{pages: randomLength(random), state: spanFree}
			b.insert(table, page)
			model[page] = true
		}
		pages := randomLength(random)
		checkFind(t, table, &b, model, pages, b.find(table, pages))
		if step%100 == 0 {
			count, err := b.checkInvariants(table)
			mustHold(t, err)
			if int(count) != len(model) {
				t.Fatalf("%d spans in the bins, want %d", count, len(model))
			}
		}
	}
}

// randomLength returns few different lengths, near each other, and all others.
func randomLength(random *rand.Rand) uint32 {
	switch random.IntN(3) {
	case 0:
		return 1 + random.Uint32N(2*exactBins)
	case 1:
		return 1000 + random.Uint32N(100)
	}
	return 1 + random.Uint32N(1<<random.Uint32N(29))
}

func checkFind(t *testing.T, table *spanTable, b *bins, model map[uint32]bool, pages, found uint32) {
	t.Helper()
	shortest, inBin := uint32(0), map[int]int{}
	for page := range model {
		length := table.at(page).pages
		inBin[binOf(length)]++
		if length >= pages && (shortest == 0 || length < shortest) {
			shortest = length
		}
	}
	switch {
	case found == 0 && shortest == 0:
		return
	case found == 0 || !model[found]:
		t.Fatalf("%d pages wanted: found %d, though there is a span of %d pages", pages, found, shortest)
	}
	length := table.at(found).pages
	if length < pages {
		t.Fatalf("%d pages wanted: found a span of %d", pages, length)
	}
	if inBin[binOf(shortest)] <= bestFitTries && length != shortest {
		t.Fatalf("%d pages wanted: found a span of %d, though there is one of %d", pages, length, shortest)
	}
}

// TestBinsFindLast finds the one span that is long enough behind many of the
// same bin that are not.
func TestBinsFindLast(t *testing.T) {
	const many = 3 * bestFitTries
	table := newSpanTable(t, many+1)
	if err := table.back(many + 1); err != nil {
		t.Fatal(err)
	}
	var b bins
	for page := uint32(1); page <= many; page++ {
		*table.at(page) = span{pages: 1024 + page%7, state: spanFree}
		if page == 1 {
			table.at(page).pages = 1050
		}
		b.insert(table, page)
	}
	if got := b.find(table, 1040); got != 1 {
		t.Errorf("found page %d, want 1", got)
	}
	if got := b.find(table, 1051); got != 0 {
		t.Errorf("found page %d, want none", got)
	}
}
