//go:build linux && (amd64 || arm64)

// Command churn plays the conservation games of rseqcs and alloc while the ground
// moves: running threads are confined to one CPU and let go again, threads are born
// and die, a cpuset shrinks and widens, and, with -offline, a CPU leaves and comes
// back. It ends with status 1 if a token or a block was lost or had two owners, if a
// disturbance that was asked for did not happen, or if a stalled build saw no abort.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// game is what players and disturbers share.
type game struct {
	end      time.Time
	mu       sync.Mutex
	failures []string
	rounds   atomic.Int64
	maxID    atomic.Int64
	visit    func(me int32) // plays a few rounds with the tokens
}

func (g *game) fail(format string, arguments ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	const enough = 10
	if len(g.failures) < enough {
		g.failures = append(g.failures, fmt.Sprintf(format, arguments...))
	}
}

func (g *game) running() bool { return time.Now().Before(g.end) }

// see remembers the highest id.
func (g *game) see() {
	id := int64(vcpu.Current())
	for {
		seen := g.maxID.Load()
		if id <= seen || g.maxID.CompareAndSwap(seen, id) {
			return
		}
	}
}

const players = 16

func main() {
	length := flag.Duration("time", 5*time.Second, "how long to play")
	offline := flag.Bool("offline", false, "take CPUs offline and back: of the whole machine")
	cpuset := flag.Bool("cpuset", false, "shrink and widen a cpuset: needs root and a cgroup v2 with that controller")
	flag.Parse()

	features := vcpu.Probe()
	if want := os.Getenv("VCPUALLOC_EXPECT_MODE"); want != "" && want != features.Mode.String() {
		fmt.Printf("churn: mode %v (%s), want %s\n", features.Mode, features.Reason, want)
		os.Exit(1)
	}
	runtime.GOMAXPROCS(players)
	g := &game{end: time.Now().Add(*length)}
	tokens := newTokens(g)
	g.visit = tokens.turn
	blocks := newBlocks(g)
	disturbances := []*disturbance{{name: "affinity", act: flipAffinity}, {name: "threads", act: bearThreads}}
	if *cpuset {
		disturbances = append(disturbances, &disturbance{name: "cpuset", act: squeeze})
	}
	if *offline {
		disturbances = append(disturbances, &disturbance{name: "offline", act: unplug})
	}
	before := rseqcs.ReadStats()
	var all sync.WaitGroup
	for number := range players {
		all.Go(func() { tokens.play(int32(number + 1)) })
		all.Go(func() { blocks.play(uint64(number + 1)) })
	}
	for _, d := range disturbances {
		all.Go(func() { d.run(g) })
	}
	all.Wait()
	tokens.checkNoneLost()
	blocks.checkNoneLost()
	after := rseqcs.ReadStats()
	if stalled && features.Mode != vcpu.Assigned && after.Aborts == before.Aborts {
		g.fail("no section was aborted: this run has shown nothing")
	}
	fmt.Printf("churn: mode %v, %d rounds, highest id %d of %d, %d aborts, %d registrations, %d fallbacks", features.Mode, g.rounds.Load(),
		g.maxID.Load(), vcpu.Max(), after.Aborts-before.Aborts, after.Registrations-before.Registrations, after.Fallbacks-before.Fallbacks)
	for _, d := range disturbances {
		fmt.Printf(", %s %d times", d.name, d.times)
	}
	fmt.Println()
	for _, text := range g.failures {
		fmt.Println("churn: FAILED:", text)
	}
	if len(g.failures) > 0 {
		os.Exit(1)
	}
	fmt.Println("churn: nothing lost, nothing doubled")
}
