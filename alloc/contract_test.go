package alloc

import (
	"math/bits"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestSizes checks length, capacity, content and alignment of every size class
// and of large blocks.
func TestSizes(t *testing.T) {
	a := open(t, Options{})
	for _, n := range sizes() {
		b := must(t)(a.Alloc(n))
		checkBlock(t, a, b, n)
		if cap(b) != GoodSize(n) || cap(b) < n {
			t.Errorf("%d bytes: capacity %d, GoodSize %d", n, cap(b), GoodSize(n))
		}
		align := 8
		if bits.OnesCount(uint(cap(b))) == 1 {
			align = min(cap(b), 8<<10)
		}
		if addressOf(b)%uintptr(align) != 0 {
			t.Errorf("%d bytes at %#x: not aligned to %d", n, addressOf(b), align)
		}
		if GoodSize(GoodSize(n)) != GoodSize(n) {
			t.Errorf("%d bytes: a good size of %d becomes %d", n, GoodSize(n), GoodSize(GoodSize(n)))
		}
		u := must(t)(a.AllocUninit(n))
		if len(u) != n || cap(u) != cap(b) {
			t.Errorf("%d bytes: AllocUninit gives length %d, capacity %d", n, len(u), cap(u))
		}
		fill(u[:cap(u)], 1)
		checkBlock(t, a, b, n)
		a.Free(u)
		a.Free(b)
	}
	checkQuiet(t, a, 0)
	if GoodSize(0) != 0 {
		t.Errorf("GoodSize(0) is %d", GoodSize(0))
	}
}

// TestAllocZeroes frees blocks full of ones and takes them again.
func TestAllocZeroes(t *testing.T) {
	a := open(t, Options{Reserve: 2 * testReserve})
	seen, again := map[uintptr]bool{}, 0
	for round := range 5 {
		for _, n := range sizes() {
			var blocks [][]byte
			for range 3 {
				b := must(t)(a.Alloc(n))
				checkBlock(t, a, b, n)
				if seen[addressOf(b)] {
					again++
				}
				seen[addressOf(b)] = true
				fill(b[:cap(b)], 0xff)
				blocks = append(blocks, b[:0])
			}
			a.FreeBatch(blocks)
		}
		if round == 2 {
			if _, err := a.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if again < len(sizes()) {
		t.Errorf("only %d blocks were at an address of one before: nothing is shown", again)
	}
	checkQuiet(t, a, 0)
}

// TestAllocAligned tries all alignments with small and large sizes.
func TestAllocAligned(t *testing.T) {
	a := open(t, Options{})
	for align := 1; align <= 4<<20; align *= 2 {
		live, blocks := 0, [][]byte{}
		for _, n := range []int{0, 1, 7, 8, 100, 1000, 4096, 8192, 8193, 100_000, 300_000, 1 << 20} {
			b := must(t)(a.AllocAligned(n, align))
			if addressOf(b)%uintptr(align) != 0 {
				t.Fatalf("%d bytes at %#x: not aligned to %d", n, addressOf(b), align)
			}
			checkBlock(t, a, b, n)
			fill(b[:cap(b)], 0xee)
			live += cap(b)
			blocks = append(blocks, b)
		}
		checkQuiet(t, a, live)
		a.FreeBatch(blocks)
		checkQuiet(t, a, 0)
	}
	for _, align := range []int{0, -1, -8, 3, 12, 4097} {
		mustMisuse(t, a, MisuseError{Op: "AllocAligned"}, func() { a.AllocAligned(8, align) })
	}
}

// TestEmpty checks that nothing is a block too, where one can be asked for.
func TestEmpty(t *testing.T) {
	a := open(t, Options{})
	for name, alloc := range map[string]func(int) ([]byte, error){"Alloc": a.Alloc, "AllocUninit": a.AllocUninit,
		"Realloc": func(n int) ([]byte, error) { return a.Realloc(nil, n) }} {
		b := must(t)(alloc(0))
		if b == nil || len(b) != 0 || cap(b) != 0 || a.UsableSize(b) != 0 {
			t.Errorf("%s(0) gives %v of capacity %d", name, b, cap(b))
		}
		a.Free(b)
		a.Free(b)
		if b := must(t)(a.Realloc(b, 10)); len(b) != 10 {
			t.Errorf("Realloc of an empty block: %d bytes", len(b))
		} else {
			a.Free(b)
		}
	}
	a.Free(nil)
	a.FreeBatch([][]byte{nil, nil})
	a.FreeBatch(nil)
	checkQuiet(t, a, 0)
}

// TestNegative panics as make does.
func TestNegative(t *testing.T) {
	a := open(t, Options{})
	n := -1
	want := panicOf(func() { _ = make([]byte, n) }).(error).Error()
	for name, call := range map[string]func(){
		"Alloc":               func() { a.Alloc(n) },
		"AllocUninit":         func() { a.AllocUninit(n) },
		"AllocAligned":        func() { a.AllocAligned(n, 8) },
		"AllocAligned, large": func() { a.AllocAligned(n, 1<<20) },
		"AllocBatch":          func() { a.AllocBatch(make([][]byte, 1), n) },
		"Realloc":             func() { a.Realloc(nil, n) },
	} {
		if err, _ := panicOf(call).(error); err == nil || err.Error() != want {
			t.Errorf("%s: panic with %v, want %q", name, err, want)
		}
	}
	checkQuiet(t, a, 0)
}

// TestFreeCut frees slices that were cut at their end in every way.
func TestFreeCut(t *testing.T) {
	a := open(t, Options{})
	for _, n := range []int{8, 100, 1024, 5000, 256 << 10, 300_000} {
		for _, cut := range []func(b []byte) []byte{
			func(b []byte) []byte { return b[:0] },
			func(b []byte) []byte { return b[:0:0] },
			func(b []byte) []byte { return b[:1:1] },
			func(b []byte) []byte { return b[: n/2 : n/2+1] },
			func(b []byte) []byte { return b[:cap(b)] },
		} {
			b := must(t)(a.Alloc(n))
			if cut := cut(b); a.UsableSize(cut) != cap(b) {
				t.Errorf("%d bytes, cut to %d of %d: %d are usable", n, len(cut), cap(cut), a.UsableSize(cut))
			}
			a.Free(cut(b))
			checkQuiet(t, a, 0)
		}
	}
}

// TestRealloc changes the length of blocks at random and compares the bytes.
func TestRealloc(t *testing.T) {
	random := steady.Random(t)
	a := open(t, Options{})
	var b, want []byte
	extended := 0
	for range 600 {
		n := random.IntN(1 << random.IntN(20))
		usable, address := a.UsableSize(b), addressOf(b)
		kept := random.IntN(len(b) + 1)
		switch random.IntN(4) {
		case 0:
			b, want = b[:kept], want[:kept]
		case 1:
			b, want = b[:kept:kept], want[:kept] // the block is what it was
		}
		fill(b[len(b):cap(b)], 0xdd)
		length := len(b)
		large := usable > 0 && a.heap.IsLarge(unsafe.Pointer(unsafe.SliceData(b)))
		if random.IntN(3) == 0 {
			kept := min(n, len(b))
			b = must(t)(a.ReallocUninit(b, n))
			clear(b[kept:])
		} else {
			b = must(t)(a.Realloc(b, n))
		}
		want = append(want[:min(n, len(want))], make([]byte, max(0, n-len(want)))...)
		if string(b) != string(want) || cap(b) != a.UsableSize(b) || cap(b) < n {
			t.Fatalf("%d bytes: length %d, capacity %d, usable %d, or other bytes", n, len(b), cap(b), a.UsableSize(b))
		}
		fits := n <= usable && (n >= usable/2 || GoodSize(n) == usable || large && n > arena.PageSize)
		room := n > length && n <= usable && !large // it may stay, if it has grown: TestReallocGrowthRoom
		if stays := addressOf(b) == address; n > 0 && stays != fits && (!stays || !large || n <= usable) && (!stays || !room) {
			t.Fatalf("%d bytes in a block of %d, large: %t: stays: %t", n, usable, large, stays)
		} else if stays && n > usable {
			extended++
		}
		checkLive(t, a, cap(b))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		want = append(want[:0], b...)
	}
	a.Free(b)
	checkQuiet(t, a, 0)
	if extended == 0 {
		t.Error("no block was extended where it was")
	}
}

func checkLive(t *testing.T, a *Allocator, want int) {
	t.Helper()
	if live := a.Stats().Live; live != int64(want) {
		t.Fatalf("%d bytes live, want %d", live, want)
	}
}

// TestBatch fills as much as there is.
func TestBatch(t *testing.T) {
	const limit = 1 << 20
	a := open(t, Options{Limit: limit})
	blocks := make([][]byte, 100)
	if n, err := a.AllocBatch(blocks, 1000); n != len(blocks) || err != nil {
		t.Fatalf("%d blocks, %v", n, err)
	}
	addresses := map[uintptr]bool{}
	for _, b := range blocks {
		checkBlock(t, a, b, 1000)
		fill(b[:cap(b)], 1)
		addresses[addressOf(b)] = true
	}
	if len(addresses) != len(blocks) {
		t.Errorf("%d blocks at %d addresses", len(blocks), len(addresses))
	}
	checkQuiet(t, a, len(blocks)*GoodSize(1000))
	a.FreeBatch(blocks)
	checkQuiet(t, a, 0)
	n, err := a.AllocBatch(blocks, 300_000)
	if n != limit/GoodSize(300_000) || err == nil || blocks[n-1] == nil {
		t.Errorf("%d blocks, %v", n, err)
	}
	a.FreeBatch(blocks[:n])
	checkQuiet(t, a, 0)
}

// TestOwns asks for addresses in and around the range.
func TestOwns(t *testing.T) {
	a, other := open(t, Options{}), open(t, Options{})
	b := must(t)(a.Alloc(100))
	foreign := make([]byte, 8)
	for name, test := range map[string]struct {
		b    []byte
		want bool
	}{"block": {b, true}, "interior": {b[50:], true}, "nil": {nil, false}, "Go memory": {foreign, false}} {
		if a.Owns(test.b) != test.want || other.Owns(test.b) {
			t.Errorf("%s: %t, another allocator says %t", name, a.Owns(test.b), other.Owns(test.b))
		}
	}
	if a.UsableSize(foreign) != 0 || a.UsableSize(b[8:]) != 0 || a.UsableSize(nil) != 0 || other.UsableSize(b) != 0 {
		t.Error("a size of what is no block of this allocator")
	}
	a.Free(b)
}
