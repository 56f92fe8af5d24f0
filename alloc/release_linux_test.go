//go:build !vcpualloc_gomem

package alloc

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// TestMemoryComesBack frees everything after a burst, by other goroutines than
// those that allocated it, and then makes no call that moves memory: the memory
// returns to the OS by itself, and then the goroutine that returned it ends.
func TestMemoryComesBack(t *testing.T) {
	const total, goroutines = 96 << 20, 16
	a := open(t, Options{ReleaseDelay: time.Second, Reserve: 512 << 20})
	blocks := make(chan [][]byte, goroutines)
	seed := steady.Random(t).Uint64()
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			var mine [][]byte
			for size := 0; size < total/goroutines; {
				b := must(t)(a.AllocUninit(1 + random.IntN(1<<random.IntN(19))))
				fill(b[:cap(b)], 1)
				mine = append(mine, b)
				size += cap(b)
			}
			blocks <- mine
		})
	}
	all.Wait()
	full := resident(t, a)
	for range goroutines {
		all.Go(func() { a.FreeBatch(<-blocks) })
	}
	all.Wait()
	if upkeeps() == 0 {
		t.Error("nobody returns what was freed")
	}
	stress.Until(t, func() error {
		if left := resident(t, a); left > full/20 {
			return fmt.Errorf("%d bytes of %d are resident after the last Free", left, full)
		}
		return nil
	})
	waitForUpkeep(t, a)
	checkQuiet(t, a, 0)
	if s := a.Stats(); s.Backed != 0 {
		t.Errorf("%d bytes are backed after all: %d in magazines, %d in transfer caches, %d in spans, %d free", s.Backed, s.CachedVCPU, s.CachedTransfer, s.CachedCentral, s.PageHeapFree)
	}
	a.Free(must(t)(a.AllocUninit(100))) // and it goes on
}

// upkeeps counts the goroutines that return memory, of all allocators, by their name.
// It does not ask runtime.Stack, which can crash the process when a goroutine comes back
// from a system call (Go 1.26 and 1.27: traceback1 takes the stack of the thread for that of the
// goroutine while the thread reads the clock).
func upkeeps() int {
	stacks := make([]runtime.StackRecord, runtime.NumGoroutine()+100)
	count, complete := runtime.GoroutineProfile(stacks)
	for !complete {
		stacks = make([]runtime.StackRecord, count+100)
		count, complete = runtime.GoroutineProfile(stacks)
	}
	upkeeps := 0
	for _, s := range stacks[:count] {
		frames := runtime.CallersFrames(s.Stack())
		for more := true; more; {
			var frame runtime.Frame
			if frame, more = frames.Next(); strings.HasSuffix(frame.Function, "arena.(*upkeep).run") {
				upkeeps++
			}
		}
	}
	return upkeeps
}

// waitForUpkeep waits until no allocator has anything left to return. How many other
// goroutines there are says nothing: they end, too.
func waitForUpkeep(t *testing.T, a *Allocator) {
	t.Helper()
	stress.Until(t, func() error {
		if n := upkeeps(); n > 0 {
			return fmt.Errorf("%d upkeeps have not ended", n)
		}
		return nil
	})
	a.Stats() // takes the locks under which the upkeep worked, for the race detector
}

// TestStatsDuringUpkeep reads the figures again and again while upkeep moves what
// was freed: nothing may ever be missing.
func TestStatsDuringUpkeep(t *testing.T) {
	a := open(t, Options{ReleaseDelay: minReleaseDelay})
	const rounds = 20
	for round := range rounds {
		var blocks [][]byte
		for i := range 2000 {
			blocks = append(blocks, must(t)(a.AllocUninit(16+i)))
		}
		released := a.Stats().Released
		a.FreeBatch(blocks)
		stress.Until(t, func() error {
			s := a.Stats()
			if s.Live != 0 {
				t.Fatalf("round %d: %d bytes are lost", round, s.Live)
			}
			// Magazines are emptied once a second, everything else in each round.
			if s.Released == released || round == rounds-1 && s.Backed > 0 {
				return fmt.Errorf("round %d: %d bytes are backed, %d were returned", round, s.Backed, s.Released)
			}
			return nil
		})
	}
}
