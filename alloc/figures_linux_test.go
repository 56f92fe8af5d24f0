//go:build !vcpualloc_gomem

package alloc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// TestBurstComesBack has a thousand goroutines work and end beside a program that
// goes on: afterwards the blocks take as much memory as before.
func TestBurstComesBack(t *testing.T) {
	const burst, steadyBytes, each = 1000, 48 << 20, 128 << 10
	seed := steady.Random(t).Uint64()
	a := open(t, Options{ReleaseDelay: time.Second, Reserve: 512 << 20})
	take := func(random *rand.Rand, bytes int) (blocks [][]byte) {
		for bytes > 0 {
			b := must(t)(a.AllocUninit(16 + random.IntN(2033)))
			fill(b[:cap(b)], 1)
			blocks = append(blocks, b)
			bytes -= cap(b)
		}
		return blocks
	}
	kept := take(rand.New(rand.NewPCG(seed, 0)), steadyBytes)
	before := resident(t, a)
	_, processBefore, _ := processMemory(t)
	var ready, all sync.WaitGroup
	ready.Add(burst)
	for i := range burst {
		all.Go(func() {
			blocks := take(rand.New(rand.NewPCG(seed, uint64(i))), each)
			ready.Done()
			ready.Wait()
			a.FreeBatch(blocks)
		})
	}
	ready.Wait()
	during := resident(t, a)
	all.Wait()
	var after int64
	stress.Until(t, func() error {
		if after = resident(t, a); after > before*11/10 {
			return fmt.Errorf("after the burst %d bytes are resident, %d before it", after, before)
		}
		return nil
	})
	_, processAfter, _ := processMemory(t)
	t.Logf("resident: %d bytes before, %d in the burst, %d after it (of the process, with the stacks of Go: %d, %d)",
		before, during, after, processBefore, processAfter)
	if during < before+burst*each*9/10 {
		t.Errorf("%d bytes in the burst, %d before: that was none", during, before)
	}
	a.FreeBatch(kept)
}

// greedy are goroutines that hold blocks up to what each wants, and give half of them
// up when they get no more.
type greedy struct {
	a               *Allocator
	t               *testing.T
	seed            uint64
	served, refused atomic.Int64
	wanted          int64 // bytes of each
}

// play allocates until over, which is told how many blocks the player has got.
func (g *greedy) play(player int, over func(served int64) bool) {
	random := rand.New(rand.NewPCG(g.seed, uint64(player)))
	var blocks [][]byte
	held := int64(0)
	drop := func(count int) {
		for _, b := range blocks[:count] {
			held -= int64(cap(b))
			g.a.Free(b)
		}
		blocks = blocks[count:]
	}
	for served := int64(0); !over(served); {
		b, err := g.a.AllocUninit(16 + random.IntN(16<<random.IntN(12)))
		if err != nil {
			var limit *LimitError
			if !errors.As(err, &limit) || !errors.Is(err, ErrLimit) {
				g.t.Errorf("an error that is not a limit's: %v", err)
				break
			}
			g.refused.Add(1)
			drop((len(blocks) + 1) / 2)
			continue
		}
		for i := 0; i < len(b); i += 64 {
			b[i] = 1
		}
		blocks, held = append(blocks, b), held+int64(cap(b))
		served++
		g.served.Add(1)
		for held > g.wanted {
			drop(1)
		}
	}
	drop(len(blocks))
}

// TestLimitUnderLoad has 64 goroutines want four times what a limit allows. Each must
// get its blocks, however long that takes, and the limit must hold meanwhile.
func TestLimitUnderLoad(t *testing.T) {
	const players, blocksOfEach, enoughRefused = 64, 5_000, 64
	limit, reserve := int64(256<<20), int64(8<<30)
	if reserve > arena.MaxReserve { // addresses of 32 bits
		limit, reserve = 64<<20, arena.MaxReserve
	}
	g := &greedy{
		a: open(t, Options{Limit: limit, ReleaseDelay: time.Second, Reserve: reserve}), t: t,
		seed: steady.Random(t).Uint64(), wanted: 4 * limit / players,
	}
	var all, watch sync.WaitGroup
	ended := make(chan struct{})
	watch.Go(func() {
		for {
			if s := g.a.Stats(); s.Charged > s.Limit {
				t.Errorf("%d bytes are charged to a limit of %d", s.Charged, s.Limit)
			}
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	for player := range players {
		all.Go(func() {
			g.play(player, func(served int64) bool {
				return served >= blocksOfEach && g.refused.Load() >= enoughRefused || t.Failed()
			})
		})
	}
	all.Wait()
	close(ended)
	watch.Wait()
	t.Logf("%d blocks served, %d refused", g.served.Load(), g.refused.Load())
	waitForUpkeep(t, g.a)
	checkQuiet(t, g.a, 0)
}
