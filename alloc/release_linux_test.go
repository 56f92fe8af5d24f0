//go:build !vcpualloc_gomem

package alloc

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestMemoryComesBack frees everything after a burst, by other goroutines than
// those that allocated it, and then makes no call: within two seconds the memory
// is back, and the goroutine that did it is gone.
func TestMemoryComesBack(t *testing.T) {
	const total, goroutines = 96 << 20, 16
	a := open(t, Options{ReleaseDelay: time.Second, Reserve: 512 << 20})
	b := must(t)(a.AllocUninit(64)) // the upkeep begins now
	a.Free(b)
	before := goroutinesNow()
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
	freed := time.Now()
	deadline := freed.Add(30 * time.Second) // for a busy machine
	var left int64
	for left = full; left > full/20; time.Sleep(10 * time.Millisecond) {
		left = resident(t, a)
		if time.Now().After(deadline) {
			t.Fatalf("%v after the last Free %d bytes of %d are resident", time.Since(freed), left, full)
		}
	}
	took := time.Since(freed)
	t.Logf("of %d bytes %d were resident %v after the last Free", full, left, took)
	if took > 2*time.Second {
		t.Logf("more than 2 s: the machine is busy, or this is a defect")
	}
	waitForUpkeep(t, a, before-1)
	checkQuiet(t, a, 0)
	if s := a.Stats(); s.Backed != 0 {
		t.Errorf("%d bytes are backed after all: %d in magazines, %d in transfer caches, %d in spans, %d free", s.Backed, s.CachedVCPU, s.CachedTransfer, s.CachedCentral, s.PageHeapFree)
	}
	a.Free(must(t)(a.AllocUninit(100))) // and it goes on
}

// goroutinesNow counts the goroutines, when those have ended that an earlier test has
// waited for: they are there for a moment after that.
func goroutinesNow() int {
	least := runtime.NumGoroutine()
	for range 10 {
		time.Sleep(5 * time.Millisecond)
		least = min(least, runtime.NumGoroutine())
	}
	return least
}

// waitForUpkeep waits until a has nothing left to return, and no more goroutines than
// there are without its upkeep.
func waitForUpkeep(t *testing.T, a *Allocator, without int) {
	t.Helper()
	const patience = 30 * time.Second // for a busy machine
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > without; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d without upkeep: it does not end", runtime.NumGoroutine(), without)
		}
	}
	a.Stats() // takes the locks under which the upkeep worked, for the race detector
}

// TestStatsDuringUpkeep reads the figures again and again while upkeep moves what
// was freed: nothing may ever be missing.
func TestStatsDuringUpkeep(t *testing.T) {
	a := open(t, Options{ReleaseDelay: minReleaseDelay})
	end := time.Now().Add(time.Second)
	for round := 0; time.Now().Before(end); round++ {
		var blocks [][]byte
		for i := range 2000 {
			blocks = append(blocks, must(t)(a.AllocUninit(16+i)))
		}
		a.FreeBatch(blocks)
		for until := time.Now().Add(3 * minReleaseDelay); time.Now().Before(until); {
			if s := a.Stats(); s.Live != 0 {
				t.Fatalf("round %d: %d bytes are lost", round, s.Live)
			}
		}
	}
}
