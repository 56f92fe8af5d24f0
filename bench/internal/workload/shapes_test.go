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
			if !peer.Serves(shape) || peer.Environment != nil {
				continue // a mode is chosen once in a process: main_test.go has the others
			}
			t.Run(shape.Name+"/"+peer.Name, func(t *testing.T) {
				at, err := peer.open(shape)
				if err != nil {
					t.Fatal(err)
				}
				book := &ledger{inner: at.loops}
				leaks := runBriefly(t, shape, peer, ledgerHeap{book})
				if leaks {
					if got, most := book.freed.Load(), book.allocated.Load(); got == 0 || got > most {
						t.Errorf("%d blocks allocated, %d freed", most, got)
					}
				} else if got, want := book.freed.Load(), book.allocated.Load(); got != want {
					t.Errorf("%d blocks allocated, %d freed", want, got)
				}
				if got, want := book.freeBytes.Load(), book.allocatedBytes.Load(); got != want && !leaks {
					t.Errorf("%d bytes allocated, %d freed", want, got)
				}
				if err := at.close(leaks); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// runBriefly runs the shape, with no more than some of its workers, for a few
// milliseconds, or as long as it takes to complete an operation. It returns
// whether the shape leaks.
func runBriefly(t *testing.T, shape Shape, peer Peer, l loops) (leaks bool) {
	const fewWorkers, longest = 100, 10 * time.Second
	for length := 4 * time.Millisecond; length < longest; length *= 2 {
		at := scene{loops: l, seed: 1, cpus: 2, stop: &atomic.Bool{}, warm: time.Millisecond, time: length, own: shape.Time,
			offHeap: peer.offHeap}
		if shape.Name == "fragmentation" {
			at.own *= 16 // a 16th of the volume
		}
		work := shape.build(at)
		work.workers = work.workers[:min(len(work.workers), fewWorkers)]
		operations, _ := work.perform(at, &meter{})
		if work.damaged() != 0 && peer.Name != Empty {
			t.Errorf("%d words of blocks in use were changed", work.damaged())
		}
		leaks = work.leaks
		if operations > 0 {
			return leaks
		}
	}
	t.Errorf("not one operation was completed in %v", longest)
	return leaks
}

func TestTablesAreComplete(t *testing.T) {
	names := map[string]bool{}
	for _, shape := range Shapes() {
		if names[shape.Name] || shape.About == "" || shape.build == nil || shape.HarnessLimit <= 0 || shape.Time <= 0 || shape.Warm <= 0 {
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
