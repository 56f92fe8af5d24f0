package alloc

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestLimit fails at the limit with all figures, and not after a Free.
func TestLimit(t *testing.T) {
	const limit = 1 << 20
	a := open(t, Options{Name: "small", Limit: limit + 100}) // rounded down to pages
	b := must(t)(a.Alloc(limit - 300_000))
	for _, n := range []int{300_001 + 8192, limit + 1, 32 << 20} {
		_, err := a.Alloc(n)
		var over *LimitError
		want := LimitError{Want: int64(GoodSize(n)), InUse: int64(cap(b)), Limit: limit, Name: "small"}
		if !errors.Is(err, ErrLimit) || !errors.As(err, &over) || *over != want {
			t.Fatalf("%d bytes: %v, want %+v", n, err, want)
		}
		if !strings.Contains(err.Error(), "small") {
			t.Errorf("%q does not name the allocator", err)
		}
		for _, other := range []error{ErrNoMemory, ErrTooLarge, ErrClosed, ErrPointers} {
			if errors.Is(err, other) {
				t.Errorf("%v is %v as well", err, other)
			}
		}
	}
	checkQuiet(t, a, cap(b))
	if a.Stats().Limit != limit {
		t.Errorf("a limit of %d bytes", a.Stats().Limit)
	}
	// A failed Realloc leaves the block as it was.
	fill(b, 5)
	if moved, err := a.Realloc(b, limit+1); moved != nil || !errors.Is(err, ErrLimit) || firstOther(b, 5) >= 0 {
		t.Errorf("Realloc: %d bytes, %v", len(moved), err)
	}
	a.Free(b)
	b = must(t)(a.Alloc(limit))
	checkBlock(t, a, b, limit)
	a.Free(b)
}

// TestLimitOfSmallBlocks fills up with small blocks to the last byte, and again
// after all of them were freed. What the magazines of other vCPUs hold cannot be
// had, so it tries until the thread has stayed on one.
func TestLimitOfSmallBlocks(t *testing.T) {
	const limit, n = 1 << 20, 1000
	var counts [3]int
	for range 100 {
		a := open(t, Options{Limit: limit})
		steady.OnOneVCPU(t, func() {
			for round := range counts {
				blocks := allocAll(t, a, n)
				checkQuiet(t, a, len(blocks)*GoodSize(n))
				a.FreeBatch(blocks)
				checkQuiet(t, a, 0)
				counts[round] = len(blocks)
			}
		})
		if want := limit / GoodSize(n); counts == [3]int{want, want, want} {
			return
		}
	}
	t.Fatalf("%d blocks in the last try, want %d each time", counts, limit/GoodSize(n))
}

// allocAll allocates blocks until the limit.
func allocAll(t *testing.T, a *Allocator, n int) (blocks [][]byte) {
	t.Helper()
	for {
		b, err := a.Alloc(n)
		if err != nil {
			if !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return blocks
		}
		checkBlock(t, a, b, n)
		fill(b[:cap(b)], 0xaa)
		blocks = append(blocks, b)
	}
}

// TestNoMemory uses up the reservation and goes on after a Free.
func TestNoMemory(t *testing.T) {
	a := open(t, Options{Reserve: 16 << 20})
	var blocks [][]byte
	for _, n := range []int{1 << 20, 100_000, 4096, 64} {
		for {
			b, err := a.AllocUninit(n)
			if err != nil {
				if !errors.Is(err, ErrNoMemory) || errors.Is(err, ErrLimit) {
					t.Fatal(err)
				}
				break
			}
			fill(b[:1], 1)
			blocks = append(blocks, b)
		}
	}
	live := 0
	for _, b := range blocks {
		live += cap(b)
	}
	checkQuiet(t, a, live)
	if live < 15<<20 {
		t.Errorf("only %d bytes fit into 16 MiB", live)
	}
	_, err := a.AllocAligned(1, 1<<20)
	if !errors.Is(err, ErrNoMemory) {
		t.Errorf("AllocAligned: %v", err)
	}
	a.Free(blocks[0])
	if b := must(t)(a.Alloc(1 << 20)); addressOf(b) != addressOf(blocks[0]) {
		t.Errorf("1 MiB at %#x, where %#x was the only one free", addressOf(b), addressOf(blocks[0]))
	}
	a.FreeBatch(blocks)
	checkQuiet(t, a, 0)
}

func TestTooLarge(t *testing.T) {
	a := open(t, Options{Reserve: 16 << 20})
	for _, n := range []int{16<<20 + 1, 1 << 30, math.MaxInt - 8192, math.MaxInt} {
		if b, err := a.Alloc(n); b != nil || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := a.AllocAligned(1, math.MaxInt/2+1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("AllocAligned: %v", err)
	}
	if _, err := MakeSlice[int64](a, 0, math.MaxInt/8+1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("MakeSlice: %v", err)
	}
	checkQuiet(t, a, 0)
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"limit too small":   {Limit: minLimit - 1},
		"negative limit":    {Limit: -1},
		"reserve too small": {Reserve: 16<<20 - 1},
		"negative reserve":  {Reserve: -1},
		"reserve too large": {Reserve: math.MaxInt64},
	} {
		if a, err := New(o); err == nil || a != nil {
			t.Errorf("%s: no error", name)
		}
	}
	a, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Name != "alloc" || s.Limit != 0 || s.Reserved < 16<<20 {
		t.Errorf("defaults: %q, limit %d, %d bytes reserved", s.Name, s.Limit, s.Reserved)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClosed calls everything after Close.
func TestClosed(t *testing.T) {
	a := open(t, Options{Name: "gone"})
	small, large := must(t)(a.Alloc(100)), must(t)(a.Alloc(300_000))
	a.Free(must(t)(a.Alloc(100))) // something is in a magazine
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Alloc":        func() error { _, err := a.Alloc(100); return err },
		"Alloc(0)":     func() error { _, err := a.Alloc(0); return err },
		"Alloc, large": func() error { _, err := a.Alloc(300_000); return err },
		"AllocUninit":  func() error { _, err := a.AllocUninit(100); return err },
		"AllocAligned": func() error { _, err := a.AllocAligned(100, 64<<10); return err },
		"AllocBatch":   func() error { _, err := a.AllocBatch(make([][]byte, 2), 100); return err },
		"Realloc(nil)": func() error { _, err := a.Realloc(nil, 100); return err },
		"NewOf":        func() error { _, err := NewOf[int](a); return err },
		"MakeSlice":    func() error { _, err := MakeSlice[int](a, 1, 1); return err },
		"Trim":         func() error { _, err := a.Trim(context.Background()); return err },
		"Close":        a.Close,
	} {
		if err := call(); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "gone") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{small, large} {
		mustMisuse(t, a, MisuseError{Op: "Free", Addr: addressOf(b)}, func() { a.Free(b) })
		mustMisuse(t, a, MisuseError{Op: "Free", Addr: addressOf(b)}, func() { a.FreeBatch([][]byte{b}) })
		if _, err := a.Realloc(b, 10); !errors.Is(err, ErrClosed) {
			t.Errorf("Realloc: %v", err)
		}
		if a.Owns(b) || a.UsableSize(b) != 0 {
			t.Errorf("owned: %t, %d bytes usable", a.Owns(b), a.UsableSize(b))
		}
	}
	a.Free(nil)
	if s := a.Stats(); s != (Stats{Name: "gone", Mode: s.Mode}) {
		t.Errorf("figures: %+v", s)
	}
}

func TestDefault(t *testing.T) {
	a := Default()
	if a != Default() {
		t.Error("there are two")
	}
	if err := a.Close(); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("Close: %v", err)
	}
	b := must(t)(a.Alloc(10))
	checkBlock(t, a, b, 10)
	a.Free(b)
}

func TestTrimCancelled(t *testing.T) {
	a := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := a.Trim(ctx); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
