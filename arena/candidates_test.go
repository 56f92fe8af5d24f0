package arena

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestCandidatesModel compares the bits with a set of groups, over several words of words.
func TestCandidatesModel(t *testing.T) {
	const pages = 3 * wordBits * wordBits * groupPages
	const groups = pages / groupPages
	random := steady.Random(t)
	table := newSpanTable(t, pages)
	mustHold(t, table.candidates.back(pages))
	c := &table.candidates
	set := map[uint32]bool{}
	last := func(begin, end uint32) (uint32, bool) {
		found, ok := uint32(0), false
		for group := range set {
			if group >= begin && group < end && (!ok || group > found) {
				found, ok = group, true
			}
		}
		return found, ok
	}
	near := func() uint32 { // often at the borders of words
		border := random.Uint32N(3*wordBits+1) * wordBits
		if random.IntN(2) == 0 {
			border = random.Uint32N(4) * wordBits * wordBits
		}
		return min(max(border+random.Uint32N(4), 2)-2, groups-1)
	}
	for range 20_000 {
		switch random.IntN(5) {
		case 0:
			first := near()*groupPages + random.Uint32N(groupPages)
			count := min(1+random.Uint32N(1<<random.Uint32N(15)), pages-first)
			if len(set) > 200 {
				count = 1
			}
			c.set(first, count)
			for group := first / groupPages; group <= (first+count-1)/groupPages; group++ {
				set[group] = true
			}
		case 1, 2:
			group := near()
			c.clear(group)
			delete(set, group)
			for group := range set { // and others, or all words stay full
				if random.IntN(2) == 0 {
					c.clear(group)
					delete(set, group)
				}
			}
		}
		begin, end := near(), near()+1
		if random.IntN(4) == 0 {
			begin = 0
		}
		want, some := last(begin, end)
		got, ok := c.last(begin, end)
		if begin >= end {
			some = false
		}
		if ok != some || some && got != want {
			t.Fatalf("of %d groups the last from %d to %d is %d, %v; want %d, %v", len(set), begin, end, got, ok, want, some)
		}
	}
}

// TestTouchedModel counts the marks of OS pages that are set, each once.
func TestTouchedModel(t *testing.T) {
	random := steady.Random(t)
	table := newSpanTable(t, 1<<16)
	mustHold(t, table.back(1<<16-firstPage))
	marks := uintptr(1<<16) * bitmapBytes / osmem.PageSize()
	set := map[uintptr]bool{}
	for range 5000 {
		page := uintptr(random.IntN(int(marks)))
		if random.IntN(3) > 0 {
			table.touched.set(page)
			set[page] = true
		} else {
			end := min(page+uintptr(random.IntN(5)), marks)
			table.touched.clear(page, end)
			for ; page < end; page++ {
				delete(set, page)
			}
		}
		if at := uintptr(random.IntN(int(marks))); table.touched.has(at) != set[at] {
			t.Fatalf("OS page %d is marked: %v", at, table.touched.has(at))
		}
		if count := table.touched.count.Load(); count != int64(len(set)) {
			t.Fatalf("%d marks are counted, want %d", count, len(set))
		}
	}
}

// TestMarkBytes: 32 OS pages of bitmaps to a word of 4 bytes.
func TestMarkBytes(t *testing.T) {
	page := osmem.PageSize()
	for _, row := range [][2]uintptr{{0, 0}, {1, 4}, {page, 4}, {32 * page, 4}, {32*page + 1, 8}, {64 * page, 8}, {64*page + page, 12}} {
		if got := markBytes(row[0]); got != row[1] {
			t.Errorf("%d bytes of bitmaps need %d of marks, want %d", row[0], got, row[1])
		}
	}
}

// TestBitmapOfSpan: as many bits are set as a span has objects, and no more.
func TestBitmapOfSpan(t *testing.T) {
	table := newSpanTable(t, 1<<12)
	mustHold(t, table.back(1<<12-firstPage))
	for _, objects := range []uint32{1, 2, 63, 64, 65, 127, 128, 341, 1024} {
		bitmap := table.bitmap(firstPage, objects)
		if len(bitmap) != int(objects+63)/64 {
			t.Errorf("%d objects: %d words", objects, len(bitmap))
		}
		clear(table.bitmap(firstPage, 1024))
		setAll(bitmap, objects)
		if got := countOnes(bitmap); got != objects {
			t.Errorf("%d objects: %d bits are set", objects, got)
		}
		if last := bitmap[len(bitmap)-1]; last>>((objects-1)%64) != 1 {
			t.Errorf("%d objects: the last word is %#x", objects, last)
		}
	}
	if a, b := unsafe.Pointer(&table.bitmap(firstPage, 1)[0]), unsafe.Pointer(&table.bitmap(firstPage+1, 1)[0]); uintptr(b)-uintptr(a) != bitmapBytes {
		t.Errorf("the bits of a page are %d bytes from those of the one before", uintptr(b)-uintptr(a))
	}
}

// TestSpanListModel compares a list with a slice.
func TestSpanListModel(t *testing.T) {
	random := steady.Random(t)
	table := newSpanTable(t, 1<<10)
	mustHold(t, table.back(firstPage+40))
	var list spanList
	var model []uint32
	for range 2000 {
		page := 1 + random.Uint32N(30)
		at := -1
		for i, other := range model {
			if other == page {
				at = i
			}
		}
		if at < 0 {
			list.push(table, page)
			model = append([]uint32{page}, model...)
		} else {
			list.remove(table, page)
			model = append(model[:at:at], model[at+1:]...)
			if s := table.at(page); s.next != 0 || s.prev != 0 {
				t.Fatal("a span that was removed has neighbors")
			}
		}
		before := uint32(0)
		at = 0
		for page := list.first; page != 0; page = table.at(page).next {
			if at >= len(model) || model[at] != page || table.at(page).prev != before {
				t.Fatalf("page %d at position %d behind %d, want %v", page, at, table.at(page).prev, model)
			}
			before = page
			at++
		}
		if at != len(model) {
			t.Fatalf("%d spans, want %d", at, len(model))
		}
	}
}
