//go:build !vcpualloc_gomem

package alloc

import (
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// load is how long each part of TestLimitUnderLoad runs.
var load = flag.Duration("load", time.Second, "how long each part of TestLimitUnderLoad runs")

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
	ended := time.Now()
	deadline := ended.Add(30 * time.Second) // for a busy machine
	after := resident(t, a)
	for after > before*11/10 {
		if time.Now().After(deadline) {
			t.Fatalf("%v after the burst %d bytes are resident, %d before it", time.Since(ended), after, before)
		}
		time.Sleep(20 * time.Millisecond)
		after = resident(t, a)
	}
	_, processAfter, _ := processMemory(t)
	t.Logf("resident: %d bytes before, %d in the burst, %d %v after it (of the process, with the stacks of Go: %d, %d)",
		before, during, after, time.Since(ended), processBefore, processAfter)
	if during < before+burst*each*9/10 {
		t.Errorf("%d bytes in the burst, %d before: that was none", during, before)
	}
	a.FreeBatch(kept)
}

// greedy are goroutines that hold blocks up to what each wants, and give half of them
// up when they get no more.
type greedy struct {
	a                *Allocator
	t                *testing.T
	seed             uint64
	served, refused  atomic.Int64
	wanted, mostSeen int64 // bytes: of each, and resident
}

func (g *greedy) play(player int, end time.Time) {
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
	for time.Now().Before(end) {
		b, err := g.a.AllocUninit(16 + random.IntN(16<<random.IntN(12)))
		if err != nil {
			var limit *LimitError
			if !errors.As(err, &limit) || !errors.Is(err, ErrLimit) {
				g.t.Errorf("an error that is not a limit's: %v", err)
			}
			g.refused.Add(1)
			drop((len(blocks) + 1) / 2)
			continue
		}
		for i := 0; i < len(b); i += 64 {
			b[i] = 1
		}
		blocks, held = append(blocks, b), held+int64(cap(b))
		g.served.Add(1)
		for held > g.wanted {
			drop(1)
		}
	}
	drop(len(blocks))
}

// run lets them play and looks at the memory meanwhile.
func (g *greedy) run(players int, length time.Duration) (perCPUSecond float64) {
	begin, used := time.Now(), processTime(g.t)
	end := begin.Add(length)
	var all, watch sync.WaitGroup
	ended := make(chan struct{})
	watch.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
			}
			g.mostSeen = max(g.mostSeen, resident(g.t, g.a))
			if s := g.a.Stats(); s.Limit > 0 && s.Charged > s.Limit {
				g.t.Errorf("%d bytes are charged to a limit of %d", s.Charged, s.Limit)
			}
		}
	})
	for player := range players {
		all.Go(func() { g.play(player, end) })
	}
	all.Wait()
	used = processTime(g.t) - used
	close(ended)
	watch.Wait()
	return float64(g.served.Load()) / used.Seconds()
}

// processTime returns the CPU time of the process: others have the CPUs as well.
func processTime(t *testing.T) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// TestLimitUnderLoad has 64 goroutines want four times what a limit allows.
func TestLimitUnderLoad(t *testing.T) {
	const players = 64
	limit, reserve := int64(256<<20), int64(8<<30)
	if reserve > arena.MaxReserve { // addresses of 32 bits
		limit, reserve = 64<<20, arena.MaxReserve
	}
	wants := 4 * limit
	seed := steady.Random(t).Uint64()
	var perCPUSecond [2]float64
	refused := int64(0)
	for i, limit := range []int64{0, limit} {
		g := &greedy{a: open(t, Options{Limit: limit, ReleaseDelay: time.Second, Reserve: reserve}), t: t, seed: seed, wanted: wants / players}
		perCPUSecond[i] = g.run(players, *load)
		t.Logf("limit %d: %.0f blocks in a second of a CPU, %d refused, at most %d bytes resident and %d of metadata", limit, perCPUSecond[i], g.refused.Load(), g.mostSeen, g.a.Stats().Metadata)
		if limit == 0 {
			continue
		}
		refused = g.refused.Load()
		// A look takes a while, in which pages move: it may see some twice.
		if g.mostSeen > limit+limit/100 {
			t.Errorf("%d bytes resident, the limit is %d", g.mostSeen, limit)
		}
		waitForUpkeep(t, g.a)
		checkQuiet(t, g.a, 0)
	}
	// 1.1 to 1.4 at a load of 10 on 2 CPUs. In shorter runs memory becomes full towards
	// the end, and what a look may take for once is much of the time: 0.4 to 1.1.
	const floor, long = 0.7, 5 * time.Second
	ratio := perCPUSecond[1] / perCPUSecond[0]
	t.Logf("with a limit: %.2f of the throughput without", ratio)
	if *load >= long && ratio < floor && refused > players { // else the limit was hardly met
		t.Errorf("with a limit there is %.2f of the throughput without, want %.2f", ratio, floor)
	}
}
