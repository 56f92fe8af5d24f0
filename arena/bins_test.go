package arena

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

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
	shortest, longest := uint32(0), uint32(0)
	for page := range model {
		length := table.at(page).pages
		longest = max(longest, length)
		if length >= pages && (shortest == 0 || length < shortest) {
			shortest = length
		}
	}
	if found != 0 && !model[found] || found == 0 && shortest != 0 || found != 0 && table.at(found).pages != shortest {
		t.Fatalf("%d pages wanted: found page %d, a span of %d, though there is one of %d", pages, found, table.at(found).pages, shortest)
	}
	if last := b.last(table); table.at(last).pages != longest {
		t.Fatalf("page %d, a span of %d, is said to be the longest of %d", last, table.at(last).pages, longest)
	}
}

// TestBinsEach visits all spans, the longest first, also when each is filed again
// elsewhere or at the same place.
func TestBinsEach(t *testing.T) {
	const many = 300
	random := steady.Random(t)
	table := newSpanTable(t, many+1)
	mustHold(t, table.back(many+1))
	var from, to bins
	for page := uint32(1); page <= many; page++ {
		*table.at(page) = span{pages: 1 + random.Uint32N(2*exactBins), state: spanFree}
		from.insert(table, page)
	}
	seen, before := map[uint32]bool{}, uint32(math.MaxUint32)
	from.each(table, func(page uint32) bool {
		if seen[page] || table.at(page).pages > before {
			t.Fatalf("page %d comes twice: %t, with %d pages after %d", page, seen[page], table.at(page).pages, before)
		}
		seen[page], before = true, table.at(page).pages
		from.remove(table, page)
		if page%2 == 0 {
			from.insert(table, page)
		} else {
			to.insert(table, page)
		}
		return true
	})
	for _, b := range []*bins{&from, &to} {
		count, err := b.checkInvariants(table)
		if mustHold(t, err); count != many/2 || len(seen) != many {
			t.Errorf("%d spans seen of %d, %d are filed, want %d", len(seen), many, count, many/2)
		}
	}
	count := 0
	if from.each(table, func(uint32) bool { count++; return count < 3 }); count != 3 {
		t.Errorf("each goes on after false: %d calls", count)
	}
}

// TestBinsFindIsLogarithmic checks the depth of the tree for orders of insertion that
// spoil simpler structures.
func TestBinsFindIsLogarithmic(t *testing.T) {
	const many, bound = 1 << 14, 4 * 14
	table := newSpanTable(t, many+1)
	mustHold(t, table.back(many+1))
	depth := func(b *bins) int {
		var of func(page uint32) int
		of = func(page uint32) int {
			if page == 0 {
				return 0
			}
			return 1 + max(of(table.at(page).prev), of(table.at(page).next))
		}
		return of(b.long.root)
	}
	for name, length := range map[string]func(page uint32) uint32{
		"equal":     func(uint32) uint32 { return 1000 },
		"ascending": func(page uint32) uint32 { return 1000 + page },
		"inside":    func(page uint32) uint32 { return 1000 + 2*max(page, many-page) - page%2 },
	} {
		var b bins
		for page := uint32(1); page <= many; page++ {
			*table.at(page) = span{pages: length(page), state: spanFree}
			b.insert(table, page)
		}
		if got := depth(&b); got > bound {
			t.Errorf("%s: a tree of %d spans is %d deep, want at most %d", name, many, got, bound)
		}
		for page := uint32(1); page <= many; page += 2 {
			b.remove(table, page)
		}
		count, err := b.checkInvariants(table)
		if mustHold(t, err); count != many/2 || depth(&b) > bound {
			t.Errorf("%s: %d spans are left, want %d; the tree is %d deep", name, count, many/2, depth(&b))
		}
	}
}

// TestBinsFindLast finds the one span that is long enough behind many of the
// same bin that are not.
func TestBinsFindLast(t *testing.T) {
	const many = 100
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
