package alloc

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestFreeForeign frees what is no block of this allocator.
func TestFreeForeign(t *testing.T) {
	a, other := open(t, Options{}), open(t, Options{})
	block := must(t)(other.Alloc(100))
	var onStack [64]byte
	global := &emptyBlock
	for name, b := range map[string][]byte{
		"Go heap":   make([]byte, 100),
		"stack":     onStack[:],
		"global":    unsafe.Slice((*byte)(unsafe.Pointer(global)), 16)[8:],
		"another's": block,
		"cut":       block[:0:0],
		"grown":     append(must(t)(other.Alloc(8)), make([]byte, 8)...), // now in the Go heap
	} {
		t.Run(name, func(t *testing.T) {
			mustMisuse(t, a, MisuseError{Op: "Free", Addr: addressOf(b)}, func() { a.Free(b) })
			mustMisuse(t, a, MisuseError{Op: "Realloc", Addr: addressOf(b)}, func() { a.Realloc(b, 10) })
		})
	}
	other.Free(block)
}

// TestFreeInterior frees every address in blocks of small and large sizes but
// the first.
func TestFreeInterior(t *testing.T) {
	a := open(t, Options{})
	for _, n := range []int{16, 48, 1024, 1152, 9000, 256 << 10} {
		b := must(t)(a.Alloc(n))
		want := MisuseError{Op: "Free", Size: cap(b)}
		step := max(1, n/64)
		for i := 1; i < n; i += step {
			want.Addr = addressOf(b) + uintptr(i)
			mustMisuse(t, a, want, func() { a.Free(b[i:]) })
		}
		checkQuiet(t, a, cap(b))
		a.Free(b)
	}
	b := must(t)(a.Alloc(300_000))
	for _, i := range []int{1, 8, 4096, arena.PageSize - 1, arena.PageSize, 2 * arena.PageSize, 299_999} {
		mustMisuse(t, a, MisuseError{Op: "Free", Addr: addressOf(b) + uintptr(i)}, func() { a.Free(b[i:]) })
		mustMisuse(t, a, MisuseError{Op: "Realloc", Addr: addressOf(b) + uintptr(i)}, func() { a.Realloc(b[i:], 5) })
	}
	checkQuiet(t, a, cap(b))
	a.Free(b)
	checkQuiet(t, a, 0)
}

// TestFreeBehindObjects frees the end of a span, where no object fits, with a
// slice that looks like one of the class.
func TestFreeBehindObjects(t *testing.T) {
	a := open(t, Options{})
	b := must(t)(a.Alloc(24))
	page := addressOf(b) &^ (arena.PageSize - 1)
	tail := arena.PageSize / 24 * 24
	wrong := blockOf(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), page-addressOf(b)+uintptr(tail)), 24, 24)
	mustMisuse(t, a, MisuseError{Op: "Free", Addr: page + uintptr(tail), Size: 24}, func() { a.Free(wrong) })
	a.Free(b)
}

// TestFreeTwiceLarge frees a large block again, in a row and later.
func TestFreeTwiceLarge(t *testing.T) {
	a := open(t, Options{})
	b, other := must(t)(a.Alloc(300_000)), must(t)(a.Alloc(500_000))
	want := MisuseError{Op: "Free", Addr: addressOf(b)}
	a.Free(b)
	mustMisuse(t, a, want, func() { a.Free(b) })
	mustMisuse(t, a, want, func() { a.Free(b[:0:0]) })
	a.Free(other)
	mustMisuse(t, a, want, func() { a.Free(b) })
	want.Op = "Realloc"
	mustMisuse(t, a, want, func() { a.Realloc(b, 10) })
	checkQuiet(t, a, 0)
}

// TestFreeTwiceSmall frees a small block again in a row, by all its slices.
// That is seen on the same vCPU only, which the thread may leave at any time:
// such a try is repeated, with another allocator.
func TestFreeTwiceSmall(t *testing.T) {
	for _, n := range []int{8, 64, 100, 4096, 256 << 10} {
		for _, cut := range []int{n, n / 2, 0} {
			if !freeTwice(t, n, cut) {
				t.Errorf("%d bytes, capacity cut to %d: a double free was never seen", n, cut)
			}
		}
	}
}

func freeTwice(t *testing.T, n, cut int) (seen bool) {
	for range 100 {
		a := open(t, Options{})
		b := must(t)(a.Alloc(n))
		want := MisuseError{Op: "Free", Addr: addressOf(b), Size: cap(b)}
		var value any
		var before, after Stats
		steady := steady.OnOneVCPU(t, func() {
			a.Free(b)
			before = a.Stats()
			value = panicOf(func() { a.Free(b[:cut:cut]) })
			after = a.Stats()
		})
		if !steady || value == nil {
			continue // not seen, which the caller counts
		}
		after.Metadata = before.Metadata // the magazine may have got more room
		if before != after {
			t.Fatalf("the figures have changed: %+v, before %+v", after, before)
		}
		mustMisuse(t, a, want, func() { panic(value) })
		if err := value.(*MisuseError); !strings.Contains(err.Error(), "double free") {
			t.Fatalf("%v: no word of a double free", err)
		}
		again := must(t)(a.Alloc(n))
		checkBlock(t, a, again, n)
		a.Free(again)
		return true
	}
	return false
}

// TestFreeTwiceLater frees a block again when another one was freed since, which
// is not seen. When all come back to their spans, the second time is not
// counted, and no block is handed out twice from then on.
func TestFreeTwiceLater(t *testing.T) {
	for range 100 {
		a := open(t, Options{})
		var value any
		steady.OnOneVCPU(t, func() {
			first, second := must(t)(a.Alloc(1000)), must(t)(a.Alloc(1000))
			a.Free(first)
			a.Free(second)
			value = panicOf(func() { a.Free(first) })
			if _, err := a.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if value != nil || a.Stats().CachedVCPU > 0 {
			continue // the thread has left: Trim does not reach the magazines of other vCPUs
		}
		checkQuiet(t, a, 0)
		addresses := map[uintptr]bool{}
		for range 200 {
			addresses[addressOf(must(t)(a.Alloc(1000)))] = true
		}
		if len(addresses) != 200 {
			t.Fatalf("200 blocks at %d addresses", len(addresses))
		}
		checkQuiet(t, a, 200*GoodSize(1000))
		return
	}
	t.Fatal("this thread never stayed on one vCPU")
}

// TestMisuseNamesOwner frees a block through another allocator than its own.
func TestMisuseNamesOwner(t *testing.T) {
	a, other := open(t, Options{Name: "mine"}), open(t, Options{Name: "theirs"})
	for _, n := range []int{64, 1 << 20} {
		b := must(t)(other.Alloc(n))
		e, ok := panicOf(func() { a.Free(b) }).(*MisuseError)
		if !ok || !strings.Contains(e.Error(), "theirs") || !strings.Contains(e.Error(), "mine") {
			t.Errorf("%d bytes: %v", n, e)
		}
		other.Free(b)
	}
}
