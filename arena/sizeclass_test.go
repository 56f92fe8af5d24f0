package arena

import (
	"math"
	"testing"
	"unsafe"
)

// TestClassOf compares the tables with a search, for every size.
func TestClassOf(t *testing.T) {
	class := 0
	for n := range MaxSmall + 1 {
		for ClassSize(uint8(class)) < n {
			class++
		}
		if got := ClassOf(n); int(got) != class {
			t.Fatalf("%d bytes: class %d of %d bytes, want %d of %d", n, got, ClassSize(got), class, ClassSize(uint8(class)))
		}
	}
	for _, n := range []int{-1, math.MinInt, MaxSmall + 1, math.MaxInt} {
		if got := ClassOf(n); got != 0 {
			t.Errorf("%d bytes: class %d, want none", n, got)
		}
	}
	if class != ClassCount-1 {
		t.Errorf("MaxSmall is of class %d, not of the last, %d", class, ClassCount-1)
	}
}

// TestWaste checks what docs/size-classes.md promises of every class.
func TestWaste(t *testing.T) {
	for i := 1; i < classCount; i++ {
		c, before := &classes[i], int(classes[i-1].size)
		worst := float64(int(c.size)-before-1) / float64(c.size)
		if c.size > 64 && worst > 0.125 {
			t.Errorf("class %d: %d bytes in a block of %d waste %.1f %%", i, before+1, c.size, 100*worst)
		}
		span := c.pages << pageShift
		if tail := float64(span-c.perSpan*c.size) / float64(span); c.perSpan == 0 || tail < 0 || tail > 1.0/16 {
			t.Errorf("class %d: %d objects of %d bytes in %d pages leave %.1f %%", i, c.perSpan, c.size, c.pages, 100*tail)
		}
		if c.size%8 != 0 || c.perSpan > span/c.size || c.perSpan > 8*bitmapBytes || c.batch == 0 || c.batch > maxBatch || c.magazine < c.batch {
			t.Errorf("class %d does not work: %+v", i, *c)
		}
		if classTable.Sizes[i] != c.size {
			t.Errorf("class %d: %d bytes in one table, %d in the other", i, c.size, classTable.Sizes[i])
		}
	}
	for size := 8; size <= MaxSmall; size *= 2 {
		if got := ClassSize(ClassOf(size)); got != size {
			t.Errorf("%d is a power of two but no class: the next is %d", size, got)
		}
	}
}

func TestPagesFor(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, PageSize: 1, PageSize + 1: 2, 1 << 30: 1 << 17} {
		if got := PagesFor(n); got != want {
			t.Errorf("%d bytes: %d pages, want %d", n, got, want)
		}
	}
}

// TestClassAt asks for every address of a span of every class: only where an
// object starts there is one.
func TestClassAt(t *testing.T) {
	h := openHeap(t, 32<<20, 0)
	for class := uint8(1); class < classCount; class++ {
		c := &classes[class]
		page, err := h.newSpan(h.nodes[0], class)
		if err != nil {
			t.Fatal(err)
		}
		objects := uint32(0)
		for offset := range c.pages << pageShift {
			want := uint8(0)
			if offset%c.size == 0 && offset/c.size < c.perSpan {
				want = class
				objects++
			}
			address := unsafe.Add(h.addressOf(page), offset)
			if h.Blocks.Starts(class, address) != (want != 0) || h.Blocks.Starts(0, address) || h.Blocks.Starts(class+1, address) {
				t.Fatalf("offset %d in a span of %d objects of %d bytes: does not start one of its class, or one of another", offset, c.perSpan, c.size)
			}
			if got := h.ClassAt(address); got != want {
				t.Fatalf("offset %d in a span of %d objects of %d bytes: class %d, want %d", offset, c.perSpan, c.size, got, want)
			}
		}
		if objects != c.perSpan {
			t.Fatalf("class %d: %d objects, want %d", class, objects, c.perSpan)
		}
	}
}
