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

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// game is what players and disturbers share.
type game struct {
	end      time.Time
	latest   time.Time    // the end, if a disturbance has not happened until end
	awaited  atomic.Int32 // disturbances that have not happened
	mu       sync.Mutex
	failures []string
	rounds   atomic.Int64
	ids      sync.Map       // the ids that a goroutine had, int32
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

// running reports whether the game is on. How much is done in a time depends on
// the load of the machine, and a game without its disturbances shows nothing.
func (g *game) running() bool {
	now := time.Now()
	return now.Before(g.end) || g.awaited.Load() > 0 && now.Before(g.latest)
}

// see remembers the id of the moment.
func (g *game) see() {
	id := int32(vcpu.Current())
	if _, known := g.ids.Load(id); !known {
		g.ids.Store(id, nil)
	}
}

// seen returns how many ids were ever seen, and the highest.
func (g *game) seen() (count, highest int32) {
	g.ids.Range(func(id, _ any) bool {
		count++
		highest = max(highest, id.(int32))
		return true
	})
	return count, highest
}

func main() {
	length := flag.Duration("time", 5*time.Second, "how long to play")
	offline := flag.Bool("offline", false, "take CPUs offline and back: of the whole machine")
	players := flag.Int("players", 16, "goroutines of each of the two games")
	confine := flag.Int("confine", 0, "stay on so many CPUs from the start; 0 for all")
	ids := flag.Int("ids", 0, "fail if more ids than this are ever seen, or more arenas used; 0 for any number")
	cpuset := flag.Bool("cpuset", false, "shrink and widen a cpuset: needs root and a cgroup v2 with that controller")
	flag.Parse()

	if err := stayOn(*confine); err != nil {
		fmt.Println("churn: FAILED:", err)
		os.Exit(1)
	}
	features := vcpu.Probe()
	if want := os.Getenv("VCPUALLOC_EXPECT_MODE"); want != "" && want != features.Mode.String() {
		fmt.Printf("churn: mode %v (%s), want %s\n", features.Mode, features.Reason, want)
		os.Exit(1)
	}
	runtime.GOMAXPROCS(*players)
	const patience = 10 // times the length
	began := time.Now()
	g := &game{end: began.Add(*length), latest: began.Add(patience * *length)}
	tokens := newTokens(g)
	g.visit = tokens.turn
	blocks := newBlocks(g)
	disturbances := []*disturbance{{name: "affinity", act: flipAffinity}, {name: "threads", act: func(g *game) error { return bearThreads(g, *players) }}}
	if *cpuset {
		disturbances = append(disturbances, &disturbance{name: "cpuset", act: squeeze})
	}
	if *offline {
		disturbances = append(disturbances, &disturbance{name: "offline", act: unplug})
	}
	before := rseqcs.ReadStats()
	g.play(tokens, blocks, disturbances, *players)
	after := rseqcs.ReadStats()
	if stalled && features.Mode != vcpu.Assigned && after.Aborts == before.Aborts {
		g.fail("no section was aborted: this run has shown nothing")
	}
	count, highest := g.seen()
	if *ids > 0 && max(int(count), blocks.arenas) > *ids {
		g.fail("%d ids were seen and %d arenas used, on %d CPUs; at most %d are right", count, blocks.arenas, runtime.NumCPU(), *ids)
	}
	text := fmt.Sprintf("churn on %d CPUs: mode %v, %d rounds, %d ids, the highest %d of %d, %d arenas, %d aborts, %d registrations, %d fallbacks",
		runtime.NumCPU(), features.Mode, g.rounds.Load(), count, highest, vcpu.Max(), blocks.arenas,
		after.Aborts-before.Aborts, after.Registrations-before.Registrations, after.Fallbacks-before.Fallbacks)
	for _, d := range disturbances {
		text += fmt.Sprintf(", %s %d times", d.name, d.times)
	}
	fmt.Printf("%s%q\n", plan.NotePrefix, text)
	for _, text := range g.failures {
		fmt.Println("churn: FAILED:", text)
	}
	if len(g.failures) > 0 {
		os.Exit(1)
	}
	fmt.Println("churn: nothing lost, nothing doubled")
}

// play plays both games, among the disturbances, to their end.
func (g *game) play(tokens *tokens, blocks *blocks, disturbances []*disturbance, players int) {
	var all sync.WaitGroup
	g.awaited.Store(int32(len(disturbances)))
	for _, d := range disturbances {
		all.Go(func() { d.run(g) })
	}
	for number := range players {
		all.Go(func() { tokens.play(int32(number + 1)) })
		all.Go(func() { blocks.play(uint64(number + 1)) })
	}
	all.Wait()
	tokens.checkNoneLost()
	blocks.checkNoneLost()
}
