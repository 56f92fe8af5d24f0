package arena

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestLarge checks addresses, sizes and the page map of large blocks.
func TestLarge(t *testing.T) {
	h := openHeap(t, 64<<20, 0)
	live := int64(0)
	for _, test := range []struct{ n, align int }{
		{1, 1}, {PageSize, PageSize}, {PageSize + 1, 1}, {MaxSmall + 1, 2 * PageSize}, {100_000, 1 << 20}, {5 << 20, 4 << 20}, {1, 4 << 20},
	} {
		block, _, err := h.AllocLarge(test.n, test.align)
		if err != nil {
			t.Fatal(err)
		}
		size := PagesFor(test.n) << pageShift
		live += int64(size)
		if uintptr(block)%uintptr(max(test.align, PageSize)) != 0 || h.UsableSize(block) != size || h.ClassAt(block) != 0 {
			t.Errorf("%d bytes aligned to %d: %p, %d bytes, class %d", test.n, test.align, block, h.UsableSize(block), h.ClassAt(block))
		}
		for _, inside := range []int{1, 8, PageSize - 1, PageSize, size - 1} {
			if inside < size && (h.UsableSize(unsafe.Add(block, inside)) != 0 || h.FreeLarge(unsafe.Add(block, inside))) {
				t.Errorf("%d bytes: the address at %d is taken for a block", test.n, inside)
			}
		}
	}
	checkQuiet(t, h, live)
}

// TestLargeRefuses asks for what the range can never hold.
func TestLargeRefuses(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	for _, test := range []struct{ n, align int }{{MinReserve + 1, 1}, {math.MaxInt, 1}, {1, math.MaxInt/2 + 1}, {1, 2 * MinReserve}, {math.MaxInt, math.MaxInt/2 + 1}} {
		if _, _, err := h.AllocLarge(test.n, test.align); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes aligned to %d: %v", test.n, test.align, err)
		}
	}
	checkQuiet(t, h, 0)
}

// TestFreeLargeOnce frees the same block from two goroutines at once, each after
// a random short while: one of them does it.
func TestFreeLargeOnce(t *testing.T) {
	rounds, delay := int64(20_000), 200
	if testing.Short() {
		rounds /= 10
	}
	random := steady.Random(t)
	h := openHeap(t, MinReserve, 0)
	var block atomic.Pointer[byte]
	var started, done, freed atomic.Int64
	free := func(wait int) {
		for range wait {
			started.Load()
		}
		if h.FreeLarge(unsafe.Pointer(block.Load())) {
			freed.Add(1)
		}
	}
	seed := random.Uint64()
	go func() {
		random := rand.New(rand.NewPCG(seed, 1))
		for round := int64(1); round <= rounds; round++ {
			wait := random.IntN(delay)
			spinUntil(&started, round)
			free(wait)
			done.Store(round)
		}
	}()
	for round := int64(1); round <= rounds; round++ {
		p, _, err := h.AllocLarge(PageSize, 1)
		if err != nil {
			t.Fatal(err)
		}
		block.Store((*byte)(p))
		started.Store(round)
		free(random.IntN(delay))
		spinUntil(&done, round)
	}
	if freed.Load() != rounds {
		t.Errorf("%d blocks were freed %d times", rounds, freed.Load())
	}
	checkQuiet(t, h, 0)
}

// spinUntil waits for a value without sleeping, unless it takes long: then the
// other goroutine has no CPU.
func spinUntil(value *atomic.Int64, want int64) {
	for tries := 1; value.Load() < want; tries++ {
		if tries%100 == 0 {
			runtime.Gosched()
		}
		if tries%1000 == 0 {
			time.Sleep(time.Microsecond)
		}
	}
}

// TestDescribe checks that what lies at an address is told by its kind.
func TestDescribe(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	small, err := h.Alloc(ClassOf(1152))
	if err != nil {
		t.Fatal(err)
	}
	large, _, err := h.AllocLarge(2*PageSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	foreign := new(int)
	for _, test := range []struct {
		address unsafe.Pointer
		class   uint8
		owned   bool
	}{
		{unsafe.Pointer(foreign), 0, false},
		{nil, 0, false},
		{unsafe.Add(small, 8), ClassOf(1152), true},
		{unsafe.Add(large, 8), 0, true},
		{unsafe.Add(large, PageSize), 0, true},
		{unsafe.Add(h.base, MinReserve-1), 0, true},
		{unsafe.Add(h.base, MinReserve), 0, false},
		{unsafe.Add(h.base, -1), 0, false},
	} {
		what, class := h.Describe(test.address)
		if class != test.class || what == "" || h.Owns(test.address) != test.owned || h.ClassAt(test.address) != 0 || h.UsableSize(test.address) != 0 {
			t.Errorf("%p: %q, class %d, owned %t, object of class %d", test.address, what, class, h.Owns(test.address), h.ClassAt(test.address))
		}
	}
}
