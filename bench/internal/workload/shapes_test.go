package workload

import (
	"bytes"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/specialise"
)

// TestEveryShapeWithEveryPeer runs the whole table and looks at the books: each
// block that was allocated was freed once, as long as it was.
func TestEveryShapeWithEveryPeer(t *testing.T) {
	for _, shape := range Shapes() {
		for _, peer := range Peers() {
			if raceDetector && peer.Name == Empty {
				continue // its goroutines write to the same bytes, which is a race indeed
			}
			t.Run(shape.Name+"/"+peer.Name, func(t *testing.T) {
				at, err := peer.open()
				if err != nil {
					t.Fatal(err)
				}
				book := &ledger{inner: at.loops}
				runBriefly(t, shape, ledgerHeap{book})
				if got, want := book.freed.Load(), book.allocated.Load(); got != want {
					t.Errorf("%d blocks allocated, %d freed", want, got)
				}
				if got, want := book.freeBytes.Load(), book.allocatedBytes.Load(); got != want {
					t.Errorf("%d bytes allocated, %d freed", want, got)
				}
				if err := at.close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// runBriefly runs the shape, with no more than some of its workers, for a few
// milliseconds, or as long as it takes to complete an operation.
func runBriefly(t *testing.T, shape Shape, l loops) {
	const fewWorkers, longest = 100, 10 * time.Second
	for length := 4 * time.Millisecond; length < longest; length *= 2 {
		stop := &atomic.Bool{}
		work := shape.build(scene{loops: l, seed: 1, cpus: 2, stop: stop})
		work.workers = work.workers[:min(len(work.workers), fewWorkers)]
		if operations, _ := work.perform(stop, time.Millisecond, length, &meter{}); operations > 0 {
			return
		}
	}
	t.Errorf("not one operation was completed in %v", longest)
}

func TestTablesAreComplete(t *testing.T) {
	names := map[string]bool{}
	for _, shape := range Shapes() {
		if names[shape.Name] || shape.About == "" || shape.build == nil || shape.Time <= 0 || shape.Warm <= 0 {
			t.Errorf("shape %q: a name twice, or something missing", shape.Name)
		}
		names[shape.Name] = true
		if found, err := ShapeByName(shape.Name); err != nil || found.Name != shape.Name {
			t.Errorf("ShapeByName(%q) gives %q, %v", shape.Name, found.Name, err)
		}
	}
	for _, peer := range Peers() {
		if names[peer.Name] || peer.About == "" || peer.open == nil {
			t.Errorf("peer %q: a name twice, or something missing", peer.Name)
		}
		names[peer.Name] = true
		if found, err := PeerByName(peer.Name); err != nil || found.Name != peer.Name {
			t.Errorf("PeerByName(%q) gives %q, %v", peer.Name, found.Name, err)
		}
	}
	for _, name := range []string{"pair-64", "pair-4096", "live-64x1000", Ours, "make", "sync.Pool", "modernc", Empty} {
		if !names[name] {
			t.Errorf("nothing is named %q", name)
		}
	}
	if _, err := ShapeByName("none"); err == nil {
		t.Error("ShapeByName finds a shape that there is not")
	}
	if _, err := PeerByName("none"); err == nil {
		t.Error("PeerByName finds a peer that there is not")
	}
}

// TestHarnessCost holds the harness to its promise: a pair costs it less than
// 2 ns. The best of several short runs counts, since others may use the CPU.
func TestHarnessCost(t *testing.T) {
	const limit, runs = 2.0, 40
	at, err := openEmpty()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pair-64", "pair-4096"} {
		shape, err := ShapeByName(name)
		if err != nil {
			t.Fatal(err)
		}
		best := limit
		for run := 0; run < runs && best >= limit; run++ {
			sample := shape.measure(at.loops, Request{Warm: time.Millisecond, Time: 5 * time.Millisecond})
			best = min(best, sample.NSPerOperation)
		}
		if best >= limit && !raceDetector {
			t.Errorf("%s: the harness costs at least %.1f ns a pair in each of %d runs", name, limit, runs)
		}
	}
}

func TestLoopsAreUpToDate(t *testing.T) {
	files, err := specialise.Files(".")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what loops.go and the heaps give: run go generate ./...", name)
		}
	}
}
