package arena

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

func always() bool { return true }

// allocUpTo allocates objects of a class until a limit refuses, and writes to each.
func allocUpTo(t *testing.T, h *Heap, class uint8) (objects []unsafe.Pointer) {
	t.Helper()
	for {
		object, err := h.Alloc(class)
		if err != nil {
			if !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return objects
		}
		*(*uint64)(object) = uint64(uintptr(object))
		objects = append(objects, object)
	}
}

// checkAndFree checks that objects hold what allocUpTo wrote, and frees them.
func checkAndFree(t *testing.T, h *Heap, class uint8, objects []unsafe.Pointer) {
	t.Helper()
	for _, object := range objects {
		if *(*uint64)(object) != uint64(uintptr(object)) {
			t.Fatalf("object %p has changed", object)
		}
		h.Free(class, object)
	}
}

func fillPage(block unsafe.Pointer) {
	for i := range PageSize {
		*(*byte)(unsafe.Add(block, i)) = 1
	}
}

// TestLimitCountsWhatIsThere fills a limit, frees every second object, and gets as
// much for other blocks; what is gone then comes back only when there is room, and
// no object is lost.
func TestLimitCountsWhatIsThere(t *testing.T) {
	if !osmem.CanRelease {
		t.Skip("this memory cannot be released")
	}
	const limit = 8 << 20
	page := int(osmem.PageSize())
	for _, size := range []int{page, page * 5 / 4, page * 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := openHeap(t, 64<<20, limit)
			class := ClassOf(size)
			objects := allocUpTo(t, h, class)
			var kept, freed []unsafe.Pointer
			for i, object := range objects {
				if i%2 == 0 {
					kept = append(kept, object)
				} else {
					freed = append(freed, object)
				}
			}
			checkAndFree(t, h, class, freed)
			live := int64(len(kept)) * int64(size)
			// Of each hole as many whole OS pages as it has wherever it lies.
			room := int64(len(freed)) * int64(page*max(size/page-1, 0))
			if size == page {
				room = int64(len(freed)) * int64(page)
			}
			var blocks []unsafe.Pointer
			for {
				block, _, err := h.AllocLarge(64<<10, 1)
				if errors.Is(err, ErrLimit) {
					h.LookAgain() // on a slow machine there is no time for as many looks
					block, _, err = h.AllocLarge(64<<10, 1)
				}
				if err != nil {
					if !errors.Is(err, ErrLimit) {
						t.Fatal(err)
					}
					break
				}
				fillPage(block)
				blocks = append(blocks, block)
			}
			other := int64(len(blocks)) * 64 << 10
			s := h.Stats()
			if other < room*3/4 || s.Charged > limit || size == page && s.Gone == 0 {
				t.Errorf("%d bytes of objects freed, %d to be had, %d got; %d charged, %d gone", int64(len(freed))*int64(size), room, other, s.Charged, s.Gone)
			}
			checkQuiet(t, h, live+other)
			again := allocUpTo(t, h, class)
			if int64(len(again))*int64(size) > limit-live-other {
				t.Errorf("%d objects more than there is room for", len(again))
			}
			checkQuiet(t, h, live+other+int64(len(again))*int64(size))
			for _, block := range blocks {
				h.FreeLarge(block)
			}
			more := allocUpTo(t, h, class)
			// What another vCPU has may not be worth a fence.
			cached := int(h.Stats().CachedVCPU) / size
			if len(kept)+len(again)+len(more)+cached < len(objects) {
				t.Errorf("%d objects fit at first, %d afterwards", len(objects), len(kept)+len(again)+len(more))
			}
			for _, list := range [][]unsafe.Pointer{kept, again, more} {
				checkAndFree(t, h, class, list)
			}
			if _, err := h.Trim(always); err != nil {
				t.Fatal(err)
			}
			checkQuiet(t, h, 0)
			if s := h.Stats(); s.Charged != 0 {
				t.Errorf("%d bytes stay charged", s.Charged)
			}
		})
	}
}

// TestSweepsUnderLimit has goroutines allocate and free below a limit that is always
// full, while others sweep: it is never exceeded, and nothing is lost.
func TestSweepsUnderLimit(t *testing.T) {
	const limit, players, steps = 4 << 20, 6, 4000
	h := openHeap(t, 64<<20, limit)
	seed := steady.Random(t).Uint64()
	var all sync.WaitGroup
	for player := range players {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(player)))
			held := make(map[uint8][]unsafe.Pointer)
			for range steps {
				class := ClassOf(1 << (6 + random.IntN(9)))
				object, err := h.Alloc(class)
				if err == nil {
					*(*uint64)(object) = uint64(uintptr(object))
					held[class] = append(held[class], object)
				} else if !errors.Is(err, ErrLimit) {
					t.Error(err)
				}
				if list := held[class]; err != nil && len(list) > 0 || len(list) > 200 {
					random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
					checkAndFree(t, h, class, list[len(list)/2:])
					held[class] = list[:len(list)/2]
				}
				if random.IntN(100) == 0 {
					h.sweep(true, always)
				}
				if charged := h.budget.Charged(); charged > limit {
					t.Errorf("%d bytes charged, above the limit of %d", charged, limit)
				}
			}
			for class, list := range held {
				checkAndFree(t, h, class, list)
			}
		})
	}
	all.Wait()
	checkQuiet(t, h, 0)
}
