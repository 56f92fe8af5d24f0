package alloc

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

const (
	blocksInPlay = 200
	goroutines   = 32
)

// TestBlocksHaveOneOwner hands blocks round: each goroutine allocates, writes
// its mark, passes the block to any other, and that one frees it. The first
// word of a block is zero while nobody has it, so a block that is handed out
// twice shows at once.
func TestBlocksHaveOneOwner(t *testing.T) {
	a, err := New(Options{Name: "owners", ReleaseDelay: minReleaseDelay})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	stress.Storm(t)
	aborts := rseqcs.ReadStats().Aborts
	round := make(chan []byte, blocksInPlay)
	var rounds, failures atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(stress.Duration())
	for number := range goroutines {
		all.Go(func() {
			g := passer{t, a, round, uint64(number + 1), &failures}
			for time.Now().Before(end) && failures.Load() == 0 {
				for range 50 {
					g.pass()
				}
				rounds.Add(50)
			}
		})
	}
	all.Wait()
	close(round)
	for b := range round {
		clear(b[:8])
		a.Free(b)
	}
	if live := a.Stats().Live; live != 0 && failures.Load() == 0 {
		t.Errorf("%d bytes are lost", live)
	}
	t.Logf("mode %v, %d rounds, %d aborts", a.Stats().Mode, rounds.Load(), rseqcs.ReadStats().Aborts-aborts)
}

// passer is one goroutine of the game.
type passer struct {
	t        *testing.T
	a        *Allocator
	round    chan []byte
	me       uint64
	failures *atomic.Int64
}

// pass puts a block of this goroutine into the round, or frees one of it.
func (g *passer) pass() {
	if rand.IntN(2) == 0 {
		select {
		case b := <-g.round:
			from := binary.LittleEndian.Uint64(b[8:])
			g.change(b, from, g.me)
			g.change(b, g.me, 0)
			g.a.Free(b)
		default:
		}
		return
	}
	b, err := g.a.AllocUninit(64 << rand.IntN(3))
	if err != nil {
		g.fail("no block: %v", err)
		return
	}
	g.change(b, 0, g.me)
	binary.LittleEndian.PutUint64(b[8:], g.me)
	select {
	case g.round <- b:
	default:
		g.change(b, g.me, 0)
		g.a.Free(b)
	}
}

// change makes to the owner of a block, which must belong to from.
func (g *passer) change(b []byte, from, to uint64) {
	owner := (*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(b)))
	if !owner.CompareAndSwap(from, to) {
		g.fail("block %p is to go from %d to %d, but belongs to %d", unsafe.SliceData(b), from, to, owner.Load())
	}
}

func (g *passer) fail(format string, args ...any) {
	if g.failures.Add(1) == 1 {
		g.t.Errorf("conservation: "+format, args...)
	}
}
