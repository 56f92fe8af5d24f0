package alloc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// mixedBatch returns blocks of the kinds that a batch can have, in an order, and some
// empty slices.
func mixedBatch(t *testing.T, a *Allocator, random *rand.Rand, kind string, count int) (batch [][]byte) {
	t.Helper()
	for len(batch) < count {
		n := 100
		if kind == "mixed" {
			n = []int{8, 100, 100, 5000, 300_000}[random.IntN(5)]
		}
		batch = append(batch, must(t)(a.AllocUninit(n)))
	}
	byAddress := func(x, y []byte) int {
		if addressOf(x) < addressOf(y) {
			return -1
		}
		return 1
	}
	switch kind {
	case "rising":
		slices.SortFunc(batch, byAddress)
	case "falling":
		slices.SortFunc(batch, func(x, y []byte) int { return byAddress(y, x) })
	case "mixed":
		empty := emptySlices()
		for range count / 4 {
			for _, b := range empty {
				batch = slices.Insert(batch, random.IntN(len(batch)+1), b)
				break
			}
		}
	default:
		random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	return batch
}

// TestFreeBatchDetectsDuplicates frees batches that hold a block twice, at any two
// places: each is refused as a whole, and frees everything without the second one.
func TestFreeBatchDetectsDuplicates(t *testing.T) {
	random := steady.Random(t)
	a := open(t, Options{Reserve: min(1<<30, arena.MaxReserve)})
	for _, kind := range []string{"rising", "falling", "random", "mixed"} {
		for _, count := range []int{1, 2, 3, 7, 8, 9, 10, 63, 64, 65, 66, 130, 500} {
			for range 10 {
				batch := mixedBatch(t, a, random, kind, count)
				var blocks []int
				for i, b := range batch {
					if a.Owns(b) {
						blocks = append(blocks, i)
					}
				}
				b := batch[blocks[random.IntN(len(blocks))]]
				at := random.IntN(len(batch) + 1)
				with := slices.Insert(slices.Clone(batch), at, b[:random.IntN(len(b)+1)])
				want := MisuseError{Op: "FreeBatch", Addr: addressOf(b), Size: arena.ClassSize(a.heap.ClassAt(unsafe.Pointer(unsafe.SliceData(b))))}
				t.Run(fmt.Sprintf("%s/%d/%d", kind, count, at), func(t *testing.T) {
					mustMisuse(t, a, want, func() { a.FreeBatch(with) })
				})
				a.FreeBatch(batch)
				if live := a.Stats().Live; live != 0 {
					t.Fatalf("%s, %d blocks: %d bytes are live", kind, count, live)
				}
			}
		}
	}
	checkQuiet(t, a, 0)
}

// TestFreeBatchTakesEmptySlicesManyTimes frees batches of empty slices at a few
// addresses, whatever lies there.
func TestFreeBatchTakesEmptySlicesManyTimes(t *testing.T) {
	a := open(t, Options{})
	array := make([]byte, 100)
	for _, count := range []int{2, 8, 64, 1000} {
		var batch [][]byte
		for i := range count {
			batch = append(batch, [][]byte{nil, {}, array[:0], array[10:10], must(t)(a.Alloc(0))}[i%5])
		}
		a.FreeBatch(batch)
		a.FreeBatch(append(batch, must(t)(a.Alloc(100))))
	}
	checkQuiet(t, a, 0)
}

// TestFreeDetectsSlicesLongerThanTheirBlock frees a block again when a smaller one has
// its address.
func TestFreeDetectsSlicesLongerThanTheirBlock(t *testing.T) {
	a := open(t, Options{})
	stale := must(t)(a.Alloc(500_000))
	a.Free(stale)
	large := must(t)(a.Alloc(300_000))
	if addressOf(large) != addressOf(stale) {
		t.Fatal("the address was not given out again: nothing is shown")
	}
	check := func(stale []byte, usable int) {
		t.Helper()
		want := MisuseError{Op: "Free", Addr: addressOf(stale), Size: usable}
		mustMisuse(t, a, want, func() { a.Free(stale) })
		mustMisuse(t, a, want, func() { a.FreeBatch([][]byte{stale}) })
		mustMisuse(t, a, want, func() { FreeSlice(a, stale[:0]) })
		want.Op = "Realloc"
		mustMisuse(t, a, want, func() { a.Realloc(stale, 100) })
	}
	check(stale, cap(large))
	a.Free(large)

	var small [][]byte
	for len(small) == 0 || addressOf(small[len(small)-1]) != addressOf(stale) {
		small = append(small, must(t)(a.Alloc(104)))
		if len(small) > 100_000 {
			t.Fatal("the address was not given out again: nothing is shown")
		}
	}
	check(stale, 104)
	a.FreeBatch(small)
	checkQuiet(t, a, 0)
}

// TestLateDoubleFreeBlamesNobody frees a block twice with others in between, and then
// blocks that are in use: the Free that finds it says that it was not to blame, which
// is true, since its own block is free.
func TestLateDoubleFreeBlamesNobody(t *testing.T) {
	for range 100 {
		a := open(t, Options{})
		var blocks [][]byte
		for range 20_000 {
			blocks = append(blocks, must(t)(a.AllocUninit(1000)))
		}
		var victim, freeing uintptr
		var found *MisuseError
		steady.OnOneVCPU(t, func() {
			// Magazines and transfer caches are full: what comes now goes to the spans.
			const full = 15_000
			for _, b := range blocks[:full] {
				a.Free(b)
			}
			victim = addressOf(blocks[full])
			a.Free(blocks[full])
			a.Free(blocks[full+1])
			if panicOf(func() { a.Free(blocks[full]) }) != nil {
				return // the thread has moved and come back
			}
			for _, b := range blocks[full+2:] {
				if value := panicOf(func() { a.Free(b) }); value != nil {
					if found != nil {
						t.Fatalf("%v, after %v", value, found)
					}
					found, freeing = value.(*MisuseError), addressOf(b)
				}
			}
		})
		if found == nil {
			continue
		}
		text := fmt.Sprintf("double free by an earlier call, detected while freeing %#x (that free succeeded)", freeing)
		if found.Op != "Free" || found.Addr != victim || !strings.Contains(found.Error(), text) {
			t.Errorf("%v, want one of %#x with %q", found, victim, text)
		}
		if n := a.Stats().DoubleFrees; n != 1 {
			t.Errorf("%d double frees are counted", n)
		}
		if _, err := a.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkQuiet(t, a, 0)
		return
	}
	t.Error("the double free was never found")
}

// TestTrimCountsDoubleFrees frees a block twice; Trim finds it and panics about nothing.
func TestTrimCountsDoubleFrees(t *testing.T) {
	for range 100 {
		a := open(t, Options{})
		b, c := must(t)(a.Alloc(1000)), must(t)(a.Alloc(1000))
		if value := panicOf(func() { a.Free(b); a.Free(c); a.Free(b) }); value != nil {
			continue // the thread has moved and come back
		}
		if _, err := a.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := a.Stats().DoubleFrees; n != 1 || !strings.Contains(a.Stats().String(), "double frees: 1") {
			t.Errorf("%d double frees are counted in\n%v", n, a.Stats())
		}
		checkQuiet(t, a, 0)
		return
	}
	t.Error("the thread never stayed")
}

// TestCachesSurviveDoublePuts puts objects twice with others in between. Whichever call finds
// it, Put, Get at a full limit, Close or the allocator's background goroutine, the cache goes on, and
// nothing is lost but what the program has.
func TestCachesSurviveDoublePuts(t *testing.T) {
	for _, finder := range []string{"Put", "Close", "Get"} {
		t.Run(finder, func(t *testing.T) {
			a := open(t, Options{Limit: 8 << 20})
			c, err := NewCache(a, CacheOptions[[1000]byte]{Capacity: 8, Shared: 1})
			if err != nil {
				t.Fatal(err)
			}
			var objects []*[1000]byte
			for range 200 {
				objects = append(objects, get(t, c))
			}
			var found []*MisuseError
			put := func(p *[1000]byte) {
				if e, ok := panicOf(func() { c.Put(p) }).(*MisuseError); ok {
					found = append(found, e)
				}
			}
			for _, p := range []*[1000]byte{objects[0], objects[1], objects[0], objects[2]} {
				put(p)
			}
			switch finder {
			case "Put":
				for _, p := range objects[3:] {
					put(p)
				}
			case "Get":
				for {
					if _, err := c.Get(); err != nil {
						if !errors.Is(err, ErrLimit) {
							t.Fatal(err)
						}
						break
					}
				}
			}
			var misuse *MisuseError
			if err := c.Close(); err != nil && !errors.As(err, &misuse) {
				t.Fatal(err)
			}
			if _, err := c.Get(); !errors.Is(err, ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
			for _, e := range append(found, misuse) {
				if e != nil && (e.Op != "Put" || !strings.Contains(e.Reason, "double put") || e.Addr != uintptr(unsafe.Pointer(objects[0]))) {
					t.Errorf("%v, want a double put of %p", e, objects[0])
				}
			}
			if _, err := a.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.heap.CheckInvariants(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLargeBlocksAreAboveMaxSmall makes small blocks of whole pages, and changes the
// sizes of large ones.
func TestLargeBlocksAreAboveMaxSmall(t *testing.T) {
	a := open(t, Options{})
	check := func(want int64) {
		t.Helper()
		if got := a.Stats().LargeBlocks; got != want {
			t.Errorf("%d large blocks, want %d", got, want)
		}
	}
	aligned := must(t)(a.AllocAligned(100, 64<<10))
	check(0)
	b := must(t)(a.Alloc(arena.MaxSmall + 1))
	check(1)
	b = must(t)(a.Realloc(b, 2*arena.MaxSmall))
	check(1)
	b = must(t)(a.Realloc(b, 20_000))
	check(0)
	b = must(t)(a.Realloc(b, 2*arena.MaxSmall))
	check(1)
	a.FreeBatch([][]byte{aligned, b})
	check(0)
	checkQuiet(t, a, 0)
}
