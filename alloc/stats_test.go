package alloc

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// TestStats checks the figures of a known state.
func TestStats(t *testing.T) {
	const limit = 32 << 20
	a := open(t, Options{Name: "figures", Limit: limit})
	s := a.Stats()
	if s.Name != "figures" || s.Mode != vcpu.Probe().Mode || s.Limit != limit || s.Reserved < testReserve {
		t.Errorf("%q, mode %v, limit %d, %d bytes reserved", s.Name, s.Mode, s.Limit, s.Reserved)
	}
	if s.Backed != 0 || s.Live != 0 {
		t.Errorf("an empty allocator: %d bytes backed, %d live", s.Backed, s.Live)
	}
	live, counts := 0, map[int]int64{}
	var blocks [][]byte
	for _, n := range sizes() {
		b := must(t)(a.Alloc(n))
		live += cap(b)
		counts[cap(b)]++
		blocks = append(blocks, b)
	}
	checkQuiet(t, a, live)
	s = a.Stats()
	if s.LargeBlocks != int64(countAbove(blocks, 256<<10)) || s.Metadata <= 0 {
		t.Errorf("%d large blocks, %d bytes of tables", s.LargeBlocks, s.Metadata)
	}
	for class, c := range s.Classes {
		if class > 0 && c.Live != counts[c.Size] {
			t.Errorf("class %d: %d objects of %d bytes, want %d", class, c.Live, c.Size, counts[c.Size])
		}
	}
	a.FreeBatch(blocks)
	checkQuiet(t, a, 0)
}

func countAbove(blocks [][]byte, size int) (n int) {
	for _, b := range blocks {
		if cap(b) > size {
			n++
		}
	}
	return n
}

// TestTrimLowersBacked checks the figures, on every system.
func TestTrimLowersBacked(t *testing.T) {
	a := open(t, Options{})
	a.Free(must(t)(a.Alloc(8 << 20)))
	before := a.Stats()
	released, err := a.Trim(t.Context())
	after := a.Stats()
	// An OS page of more than 8 KiB may lie only partly in the block.
	edges := int64(2 * os.Getpagesize())
	if err != nil || released < 8<<20-edges || before.Backed-after.Backed != released || after.Released-before.Released != released {
		t.Errorf("%d bytes released: %d backed, %d before; %d released since the start, %d before; %v",
			released, after.Backed, before.Backed, after.Released, before.Released, err)
	}
	checkQuiet(t, a, 0)
}

// TestTrimReachesOtherVCPUs trims when several threads have freed at once, so
// that more than one vCPU has something.
func TestTrimReachesOtherVCPUs(t *testing.T) {
	a := open(t, Options{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			runtime.LockOSThread()
			for range 20_000 {
				b, err := a.AllocUninit(64)
				if err != nil {
					t.Error(err)
					return
				}
				a.Free(b)
			}
		})
	}
	all.Wait()
	if _, err := a.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	cached := a.Stats().CachedVCPU
	if vcpu.Probe().Mode != vcpu.Assigned && rseqcs.Fence() == nil && cached > 0 {
		t.Errorf("%d bytes are left in magazines", cached)
	}
	checkQuiet(t, a, 0)
}

// TestStatsMeanwhile reads the figures while others work: none is negative, and
// the limit holds at every moment.
func TestStatsMeanwhile(t *testing.T) {
	const limit = 8 << 20
	a := open(t, Options{Limit: limit})
	var all sync.WaitGroup
	stop := make(chan struct{})
	defer func() {
		close(stop)
		all.Wait()
		checkQuiet(t, a, 0)
	}()
	for g := range 4 {
		all.Go(func() {
			for i := g; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if b, err := a.AllocUninit(1 + i%100_000*7919%400_000); err == nil {
					a.Free(b)
				}
			}
		})
	}
	for range 300 {
		s := a.Stats()
		for name, n := range map[string]int64{"Live": s.Live, "CachedVCPU": s.CachedVCPU, "CachedTransfer": s.CachedTransfer,
			"CachedCentral": s.CachedCentral, "Tails": s.Tails, "PageHeapFree": s.PageHeapFree} {
			if n < 0 {
				t.Fatalf("%s is %d bytes", name, n)
			}
		}
		if s.Backed > limit {
			t.Fatalf("%d bytes backed, above the limit of %d", s.Backed, limit)
		}
	}
}
