package alloc

import "testing"

// TestReallocWithoutRoom: where nothing else can be had, a block that becomes smaller
// stays, and one that grows takes what a class has free.
func TestReallocWithoutRoom(t *testing.T) {
	a := open(t, Options{Limit: 1 << 20})
	b := must(t)(a.Alloc(100_000))
	fill(b, 7)
	small := must(t)(a.Alloc(17 << 10))
	fill(small, 9)
	var blocks [][]byte
	for _, n := range []int{20 << 10, 8 << 10, 64, 8} {
		blocks = append(blocks, allocAll(t, a, n)...)
	}
	for _, n := range []int{8 << 10, 64, 1} { // no page is free for these, nor an object of their class
		cut := must(t)(a.Realloc(b, n))
		if addressOf(cut) != addressOf(b) || len(cut) != n || firstOther(cut, 7) >= 0 {
			t.Fatalf("%d bytes: length %d, at another address: %t", n, len(cut), addressOf(cut) != addressOf(b))
		}
	}
	a.Free(blocks[0])
	grown := must(t)(a.Realloc(small, 20<<10))
	if addressOf(grown) != addressOf(blocks[0]) || firstOther(grown[:17<<10], 9) >= 0 || firstOther(grown[17<<10:], 0) >= 0 {
		t.Error("grown at another address, or with other bytes")
	}
	a.FreeBatch(append(blocks[1:], b, grown))
	checkQuiet(t, a, 0)
}

// TestReallocClears: what comes behind the old length is zero, whatever lay there: in
// the block, in pages that were used before, or in another block.
func TestReallocClears(t *testing.T) {
	a := open(t, Options{})
	for _, from := range []int{10, 5000, 300_000} {
		for _, to := range []int{from + 5, from + 100, 3*from + 20_000} {
			rubbish := must(t)(a.AllocUninit(4 * to))
			fill(rubbish[:cap(rubbish)], 0xee)
			a.Free(rubbish)
			b := must(t)(a.AllocUninit(from))
			fill(b[:cap(b)], 0xdd)
			b = must(t)(a.Realloc(b[:from/2], to))
			if len(b) != to || firstOther(b[:from/2], 0xdd) >= 0 || firstOther(b[from/2:], 0) >= 0 {
				t.Errorf("from %d to %d bytes: length %d, or other bytes", from/2, to, len(b))
			}
			a.Free(b)
		}
	}
	checkQuiet(t, a, 0)
}
