package alloc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestReallocOfFreedBlockTakesNothing: the block that was allocated for the move is freed
// again, and the error names Realloc.
func TestReallocOfFreedBlockTakesNothing(t *testing.T) {
	a := open(t, Options{})
	keep := must(t)(a.Alloc(100))
	b := must(t)(a.Alloc(100))
	a.Free(b)
	before := a.Stats().Live
	for range 3 {
		var misuse *MisuseError
		func() {
			defer func() { misuse, _ = recover().(*MisuseError) }()
			a.Realloc(b, 100<<10)
		}()
		if misuse == nil || misuse.Op != "Realloc" || misuse.Addr != addressOf(b) {
			t.Fatalf("a freed block is reallocated: %v", misuse)
		}
	}
	if live := a.Stats().Live; live != before {
		t.Errorf("%d bytes are live, before %d", live, before)
	}
	a.Free(keep)
}

// TestReallocStaysAtHalf: a block of which exactly half is used stays where it is, and one
// of which less is used moves.
func TestReallocStaysAtHalf(t *testing.T) {
	a := open(t, Options{})
	b := must(t)(a.Alloc(4096))
	at := addressOf(b)
	if b = must(t)(a.Realloc(b, 2048)); addressOf(b) != at {
		t.Error("half of the block is used, and it has moved")
	}
	if b = must(t)(a.Realloc(b, 2047)); addressOf(b) == at {
		t.Error("less than half of the block is used, and it has not moved")
	}
	a.Free(b)
}

// TestCloseOfCacheTellsDoublePut puts one object twice, with another one between, so that
// no Put sees it: Close does, and frees the object once.
func TestCloseOfCacheTellsDoublePut(t *testing.T) {
	for _, count := range []int{2, 3, 100, 2000} {
		a := open(t, Options{})
		c := openCache(t, a, CacheOptions[[10]uint64]{})
		objects := make([]*[10]uint64, count)
		for i := range objects {
			p, err := c.Get()
			if err != nil {
				t.Fatal(err)
			}
			objects[i] = p
		}
		for _, p := range objects {
			c.Put(p)
		}
		c.Put(objects[0])
		err := c.Close()
		var misuse *MisuseError
		if !errors.As(err, &misuse) {
			t.Errorf("%d objects, one of them put twice: Close returns %v", count, err)
		}
		if left := c.state.existing.Load(); left != 0 {
			t.Errorf("%d objects, one of them put twice: %d are left after Close", count, left)
		}
		if _, err := a.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := a.Stats(); s.DoubleFrees != 0 || s.Live != 0 {
			t.Errorf("%d objects: %d double frees reached the spans, %d bytes are live", count, s.DoubleFrees, s.Live)
		}
	}
}

// TestLimitFindsFreeBlocksOfOtherVCPUs frees a few blocks on another P at a full limit:
// an allocation of that size gets each of them.
func TestLimitFindsFreeBlocksOfOtherVCPUs(t *testing.T) {
	const size, few = 64, 500
	a := open(t, Options{Limit: 8 << 20})
	var blocks [][]byte
	for {
		b, err := a.AllocUninit(size)
		if err != nil {
			break
		}
		blocks = append(blocks, b)
	}
	var other sync.WaitGroup
	other.Go(func() {
		for _, b := range blocks[:few] {
			a.Free(b)
		}
	})
	other.Wait()
	blocks = blocks[few:]
	for i := range few {
		b, err := a.AllocUninit(size)
		if err != nil {
			t.Fatalf("block %d of %d that are free: %v", i, few, err)
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		a.Free(b)
	}
}

// TestTrimsCountTheirOwn runs Trim in several goroutines at once: together they return
// what was released.
func TestTrimsCountTheirOwn(t *testing.T) {
	const block, count, trims = 300 << 10, 60, 8
	a := open(t, Options{Retain: -1})
	for range 10 {
		var blocks [][]byte
		for range count {
			blocks = append(blocks, must(t)(a.AllocUninit(block)))
		}
		before := a.Stats().Released
		a.FreeBatch(blocks)
		var all sync.WaitGroup
		var released [trims]int64
		for i := range released {
			all.Go(func() { released[i], _ = a.Trim(context.Background()) })
		}
		all.Wait()
		sum := int64(0)
		for _, bytes := range released {
			sum += bytes
		}
		if want := a.Stats().Released - before; sum != want {
			t.Fatalf("the calls returned %d bytes together, %d were released", sum, want)
		}
	}
}

// TestCacheCountsObjectsOnce: an object that is freed a second time, and one whose pages are
// no span of its class any more, does not lower the number of objects.
func TestCacheCountsObjectsOnce(t *testing.T) {
	// A thread that moves to another vCPU between two frees finds no duplicate there.
	var wrong string
	for range 10 {
		if wrong = ""; steady.OnOneVCPU(t, func() { wrong = countedTwice(t) }) && wrong == "" {
			return
		}
	}
	t.Error(cmp.Or(wrong, "the thread never stayed on its vCPU"))
}

// countedTwice frees objects of a cache, and says what is wrong then.
func countedTwice(t *testing.T) (wrong string) {
	a := open(t, Options{})
	c := openCache(t, a, CacheOptions[[10]uint64]{})
	var objects []unsafe.Pointer
	for range 3 {
		p, err := c.Get()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, unsafe.Pointer(p))
	}
	large := must(t)(a.Alloc(1 << 20))
	defer a.Free(large)
	other := unsafe.Pointer(unsafe.SliceData(large))
	for _, row := range []struct {
		free      []unsafe.Pointer
		duplicate unsafe.Pointer
		left      int64
	}{
		{objects[:1], nil, 2},
		{objects[:1], objects[0], 2},
		{objects[:2], objects[0], 1}, // the second one is no duplicate
		{[]unsafe.Pointer{other}, other, 1},
		{[]unsafe.Pointer{objects[2], objects[2]}, objects[2], 0},
	} {
		if duplicate := c.state.free(row.free); duplicate != row.duplicate || c.state.existing.Load() != row.left {
			return fmt.Sprintf("%p are freed: %p was free, want %p; %d objects exist, want %d", row.free, duplicate, row.duplicate, c.state.existing.Load(), row.left)
		}
	}
	return ""
}
