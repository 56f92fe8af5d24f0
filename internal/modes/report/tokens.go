package report

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

const (
	players    = 16
	tokenCount = 200

	// maxViolations is after how many violations a game ends.
	maxViolations = 5
)

// table is where both games are played.
type table struct {
	duration  time.Duration // of each game
	lent      chan<- func() // nil, or the threads of somebody else
	lentTurns atomic.Int64
}

// game is the common part of both.
type game struct {
	*table
	end        time.Time
	rounds     atomic.Int64
	mu         sync.Mutex
	violations []string
	over       atomic.Bool
}

func (g *game) violated(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.violations) < maxViolations {
		g.violations = append(g.violations, fmt.Sprintf(format, args...))
	}
	g.over.Store(len(g.violations) >= maxViolations)
}

// roundsOfATurn is how many rounds a player plays at a stretch.
const roundsOfATurn = 100

// play lets all players play rounds until the end.
func (g *game) play(round func(me uint32, random *rand.Rand)) {
	g.end = time.Now().Add(g.duration)
	var all sync.WaitGroup
	for number := range uint32(players) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(number), 0))
			turn := func() {
				for range roundsOfATurn {
					round(number+1, random)
				}
			}
			// On a busy machine the end may be there before the first turn.
			for first := true; first || time.Now().Before(g.end) && !g.over.Load(); first = false {
				if g.lent != nil && number%2 == 1 {
					g.lend(turn)
				} else {
					turn()
				}
				g.rounds.Add(roundsOfATurn)
				runtime.Gosched()
			}
		})
	}
	all.Wait()
}

// lend has somebody else's thread take a turn.
func (g *game) lend(turn func()) {
	done := make(chan struct{})
	g.lent <- func() {
		defer close(done)
		turn()
	}
	<-done
	g.lentTurns.Add(1)
}

func (g *game) result() Game { return Game{g.rounds.Load(), g.violations} }

// token is what the players hand round.
type token struct {
	owner atomic.Uint32 // 0 while nobody has it
	_     [60]byte
}

// playTokens hands tokens round through a stack, which must neither give one to
// two players nor lose one.
func playTokens(t *table) (Game, error) {
	stack, err := rseqcs.NewStack("tokens", []rseqcs.Capacity{{Initial: 8, Max: tokenCount}})
	if err != nil {
		return Game{}, err
	}
	defer stack.Close()
	tokens := make([]token, tokenCount)
	rest := make(chan *token, tokenCount) // those outside of the stack
	for i := range tokens {
		rest <- &tokens[i]
	}
	g := game{table: t}
	g.play(func(me uint32, random *rand.Rand) {
		mine := (*token)(stack.Pop(0))
		if mine == nil {
			select {
			case mine = <-rest:
			default:
				return
			}
		}
		if !mine.owner.CompareAndSwap(0, me) {
			g.violated("token %p has two owners, %d and %d", mine, mine.owner.Load(), me)
			return
		}
		if random.IntN(16) == 0 {
			runtime.Gosched()
		}
		if !mine.owner.CompareAndSwap(me, 0) {
			g.violated("token %p of %d has gone to %d", mine, me, mine.owner.Load())
			return
		}
		switch stack.Push(0, unsafe.Pointer(mine)) {
		case rseqcs.Full:
			stack.Grow(0, 1)
			rest <- mine
		case rseqcs.Duplicate:
			g.violated("token %p is pushed while it is in the stack", mine)
		}
	})
	left := len(rest)
	total, _ := stack.Slabs()
	for slab := range total {
		left += stack.Len(slab, 0)
	}
	if left != tokenCount && len(g.violations) == 0 {
		g.violated("%d of %d tokens are left", left, tokenCount)
	}
	runtime.KeepAlive(tokens)
	return g.result(), nil
}
