package alloc

import (
	"fmt"
	"sync"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestReallocWithoutRoom: where nothing else can be had, a block that becomes smaller
// stays, and one that grows takes what a class has free. What the magazines of other
// vCPUs hold cannot be had, so it tries until the thread has stayed on one.
func TestReallocWithoutRoom(t *testing.T) {
	for range 100 {
		var failed string
		if steady.OnOneVCPU(t, func() { failed = reallocWithoutRoom(t) }) {
			if failed != "" {
				t.Error(failed)
			}
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU")
}

func reallocWithoutRoom(t *testing.T) (failed string) {
	a := open(t, Options{Limit: 1 << 20})
	b := must(t)(a.Alloc(100_000))
	fill(b, 7)
	// Of an object of 18 KiB less than two pages can go back, and a block of its own
	// would take three.
	const before, after = 16 << 10, 18 << 10
	small := must(t)(a.Alloc(before))
	fill(small, 9)
	var blocks [][]byte
	for _, n := range []int{after, 8 << 10, 64, 8} {
		blocks = append(blocks, allocAll(t, a, n)...)
	}
	for _, n := range []int{8 << 10, 64, 1} { // no page is free for these, nor an object of their class
		cut, err := a.Realloc(b, n)
		if err != nil || addressOf(cut) != addressOf(b) || len(cut) != n || firstOther(cut, 7) >= 0 {
			return fmt.Sprintf("%d bytes: length %d, at another address: %t, %v", n, len(cut), addressOf(cut) != addressOf(b), err)
		}
	}
	a.Free(blocks[0])
	grown, err := a.Realloc(small, after)
	if err != nil || firstOther(grown[:before], 9) >= 0 || firstOther(grown[before:], 0) >= 0 {
		return fmt.Sprintf("%d bytes, or other ones; %v", len(grown), err)
	}
	a.FreeBatch(append(blocks[1:], b, grown))
	checkQuiet(t, a, 0)
	return ""
}

// TestReallocGrowthRoom: the first move of a block that grows is to one of its class, later
// ones are to one with room, up to 16 KiB, in which it grows on; under a limit, and for
// what shrinks, there is none.
func TestReallocGrowthRoom(t *testing.T) {
	for _, row := range []struct {
		limit     int64
		lengths   []int // of one block, one after the other
		wantClass []int // the capacity is GoodSize of that
	}{
		{0, []int{16, 32, 64, 100, 256, 257, 1028}, []int{16, 32, 256, 256, 256, 1028, 1028}},
		{0, []int{16, 4096, 4097, 16 << 10, 16<<10 + 1}, []int{16, 4096, 16 << 10, 16 << 10, 24 << 10}},
		{0, []int{16, 32, 64, 20}, []int{16, 32, 256, 20}},         // shrunk as ever
		{0, []int{16, 32, 64, 20, 30}, []int{16, 32, 256, 20, 30}}, // and it has not grown to there
		{1 << 30, []int{16, 32, 64, 256}, []int{16, 32, 64, 256}},
	} {
		for _, zeroed := range []bool{true, false} {
			a := open(t, Options{Limit: row.limit})
			b := must(t)(a.Alloc(row.lengths[0]))
			fill(b, 7)
			for i, n := range row.lengths {
				kept, before, fits := min(len(b), n), addressOf(b), n > len(b) && n <= cap(b)
				fill(b[len(b):cap(b)], 0xee)
				if zeroed {
					b = must(t)(a.Realloc(b, n))
				} else {
					b = must(t)(a.ReallocUninit(b, n))
					clear(b[kept:])
				}
				if cap(b) != GoodSize(row.wantClass[i]) || len(b) != n || cap(b) != a.UsableSize(b) || fits && addressOf(b) != before {
					t.Errorf("%v, limit %d: %d bytes: length %d, capacity %d, want %d; the same place: %t", row.lengths, row.limit, n, len(b), cap(b), GoodSize(row.wantClass[i]), addressOf(b) == before)
				}
				if firstOther(b[:kept], 7) >= 0 || firstOther(b[kept:], 0) >= 0 {
					t.Errorf("%v: %d bytes: other contents", row.lengths, n)
				}
				fill(b, 7)
			}
			a.Free(b)
			checkQuiet(t, a, 0)
		}
	}
}

// TestReallocRemembersTheYoungest: of two grown blocks with the same place in the table
// the younger one has grown, and each once.
func TestReallocRemembersTheYoungest(t *testing.T) {
	var g grownBlocks
	first := make([]byte, 1<<10)
	var older, younger unsafe.Pointer
	for i := range first {
		p, q := unsafe.Pointer(&first[0]), unsafe.Pointer(&first[i])
		if i > 0 && g.at(p) == g.at(q) {
			older, younger = p, q
		}
	}
	g.add(older)
	if !g.has(older) || g.has(younger) {
		t.Error("told apart by the place alone")
	}
	g.add(younger)
	if g.take(older) || !g.take(younger) || g.take(younger) || g.has(younger) {
		t.Error("the younger one is not in the table, or stays there")
	}
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

// TestReallocOfNoBlockIsAlloc checks that it is zero to the capacity, too, where a block
// full of ones was.
func TestReallocOfNoBlockIsAlloc(t *testing.T) {
	a := open(t, Options{})
	for _, none := range [][]byte{nil, {}, must(t)(a.Alloc(0))} {
		for _, n := range sizes() {
			b := must(t)(a.AllocUninit(n))
			fill(b[:cap(b)], 0xff)
			a.Free(b)
			b = must(t)(a.Realloc(none, n))
			checkBlock(t, a, b, n)
			a.Free(b)
		}
	}
	checkQuiet(t, a, 0)
}

// TestReallocMisuse: what is no block stays what it is, and no block is made for it.
func TestReallocMisuse(t *testing.T) {
	a := open(t, Options{})
	b := must(t)(a.Alloc(100))
	for name, wrong := range map[string][]byte{"Go memory": make([]byte, 100), "the middle": b[8:]} {
		want := MisuseError{Op: "Realloc", Addr: addressOf(wrong)}
		if a.Owns(wrong) {
			want.Size = GoodSize(len(b))
		}
		for _, n := range []int{0, 10, 1000, 300_000} {
			t.Run(name, func(t *testing.T) {
				mustMisuse(t, a, want, func() { a.Realloc(wrong, n) })
			})
		}
	}
	a.Free(b)
	checkQuiet(t, a, 0)
}

// TestReallocMeanwhile moves long blocks while others allocate and write: the old
// block is a goroutine's until it is copied.
func TestReallocMeanwhile(t *testing.T) {
	const from, to, goroutines, turns = 300_000, 900_000, 4, 200
	a := open(t, Options{})
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for turn := range turns {
				b := must(t)(a.AllocUninit(from))
				clear(b)
				behind := must(t)(a.AllocUninit(from)) // so that it has to move
				b[0], b[from/2], b[from-1] = byte(g), byte(turn), byte(g)
				b = must(t)(a.ReallocUninit(b, to))
				if b[0] != byte(g) || b[from/2] != byte(turn) || b[from-1] != byte(g) {
					t.Errorf("goroutine %d: %d, %d and %d", g, b[0], b[from/2], b[from-1])
				}
				a.Free(b)
				a.Free(behind)
			}
		})
	}
	all.Wait()
	checkQuiet(t, a, 0)
}
