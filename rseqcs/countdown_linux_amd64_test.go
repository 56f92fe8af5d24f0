package rseqcs

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// needCountdown skips the test where the operations of this process are those in Go, which
// do not count.
func needCountdown(t *testing.T) {
	prepare()
	if reflect.ValueOf(run.alloc).Pointer() == reflect.ValueOf(allocInParts).Pointer() {
		t.Skip("no section runs here")
	}
}

// TestCountdownCountsBytesAskedFor: it advances by the bytes that a section was asked for and
// has served, and by no others.
func TestCountdownCountsBytesAskedFor(t *testing.T) {
	needCountdown(t)
	onSetUpVCPU(t, func(m *blocksModel) bool {
		word := countdownAt(m.stack.slab(m.stack.Here()))
		aborts, want := ReadStats().Aborts, uint64(0)
		for i, size := range testSizes {
			object := m.objects[i+1][0]
			for _, n := range []int{size, size - 1, size - 7} {
				for name, call := range map[string]allocFunc{"Alloc": m.Alloc, "AllocZeroed": m.AllocZeroed} {
					m.Free(&m.Blocks, blockFor(object, 0, size)) // counts nothing
					m.lastSlow = ""
					call(&m.Blocks, n)
					want += uint64(n)
					if m.lastSlow != "" || ReadStats().Aborts != aborts {
						return false
					}
					if got := *word; got != want {
						t.Errorf("%s(%d): the countdown is %d, want %d", name, n, got, want)
						return true
					}
					if call(&m.Blocks, n); m.lastSlow == "" || *word != want { // the magazine is empty
						t.Errorf("%s(%d) of nothing: by %q; the countdown is %d, want %d", name, n, m.lastSlow, *word, want)
						return true
					}
				}
			}
		}
		return true
	})
}

// TestCountdownCarries: the call whose bytes reach 2^64 takes nothing and goes the slow way,
// with its arguments; then the countdown begins anew. One byte less is served.
func TestCountdownCarries(t *testing.T) {
	needCountdown(t)
	onSetUpVCPU(t, func(m *blocksModel) bool {
		here := m.stack.Here()
		word := countdownAt(m.stack.slab(here))
		aborts := ReadStats().Aborts
		for i, size := range testSizes {
			for name, call := range map[string]allocFunc{"Alloc": m.Alloc, "AllocZeroed": m.AllocZeroed} {
				for _, carries := range []bool{false, true} {
					m.stack.Push(i+1, m.objects[i+1][0])
					windCountdowns(m.stack, 7)
					wantSlow, wantWord, wantLeft := "", ^uint64(0), 0
					if *word -= uint64(size) + 8; carries { // below 2^64 by the size and one byte
						*word++
						wantSlow, wantWord, wantLeft = fmt.Sprintf("%s(%d)", name, size), 0, 1
					}
					m.lastSlow = ""
					_, err := call(&m.Blocks, size)
					if ReadStats().Aborts != aborts {
						return false
					}
					if left := m.stack.Len(here, i+1); m.lastSlow != wantSlow || *word != wantWord || left != wantLeft || (err == errSlow) != carries {
						t.Errorf("%s(%d), carries %t: by %q, error %v, %#x, %d blocks left; want by %q, %#x, %d",
							name, size, carries, m.lastSlow, err, *word, left, wantSlow, wantWord, wantLeft)
						return true
					}
					for id := range m.stack.vcpuSlabs + m.stack.pSlabs {
						if other := *countdownAt(m.stack.slab(id)); id != here && other != 7 {
							t.Errorf("%s(%d): the countdown of slab %d is %d, want 7", name, size, id, other)
						}
					}
					m.stack.Pop(i + 1)
				}
			}
		}
		return true
	})
}

// TestCountdownUnderAborts allocates in many goroutines, from near the end of the countdown on:
// bytes are counted once at least where a section has served them, and for each abort once
// more at most; and what carries over is wound back.
func TestCountdownUnderAborts(t *testing.T) {
	needCountdown(t)
	stress.Storm(t)
	for name, begin := range map[string]uint64{"from zero": 0, "near the end": ^uint64(0) - 1000} {
		t.Run(name, func(t *testing.T) { countUnderAborts(t, begin) })
	}
}

func countUnderAborts(t *testing.T, begin uint64) {
	const size, class, goroutines = 64, 4, 8
	stack, err := NewStack("countdown", append(make([]Capacity, class), Capacity{goroutines, goroutines}))
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	table := newClassTable(testSizes)
	pages := []PageEntry{EntryOf(class, 0)}
	origin := alignedPages(0, 1)
	var slow atomic.Int64
	var b Blocks
	serve := func(*Blocks, int) ([]byte, error) { slow.Add(1); return nil, nil }
	b.Open(stack, table, rangeOf(table, origin, pages), Slow{serve, serve, func(*Blocks, []byte) {}})
	windCountdowns(stack, begin)
	aborts := ReadStats().Aborts
	end := time.Now().Add(stress.Duration() / 2)
	// With delays between the steps of the sections some are aborted, sooner or later.
	goesOn := func() bool {
		return time.Now().Before(end) || stalled && sections && ReadStats().Aborts == aborts
	}
	var served atomic.Int64
	var all sync.WaitGroup
	for number := range goroutines {
		own := unsafe.Add(origin, number*size)
		all.Go(func() {
			stack.Push(class, own) // sets the class up where it runs
			for goesOn() {
				for _, alloc := range []allocFunc{b.Alloc, b.AllocZeroed} {
					if block, _ := alloc(&b, size); block != nil {
						served.Add(size)
						stack.Push(class, unsafe.Pointer(unsafe.SliceData(block)))
					}
				}
			}
		})
	}
	all.Wait()
	aborts = ReadStats().Aborts - aborts
	var counted uint64
	wound := 0
	for id := range stack.vcpuSlabs + stack.pSlabs {
		word := *countdownAt(stack.slab(id))
		counted += word
		if word < begin {
			wound++
		}
	}
	least := uint64(served.Load())
	switch {
	case least == 0:
		t.Error("no section has served anything")
	case begin == 0 && (counted < least || counted > least+aborts*size):
		t.Errorf("%d bytes were counted, %d served, with %d aborts", counted, least, aborts)
	case begin > 0 && (wound == 0 || slow.Load() == 0):
		t.Errorf("%d countdowns were wound back, %d calls went the slow way", wound, slow.Load())
	}
	t.Logf("%d bytes served, %d calls slow, %d aborts", least, slow.Load(), aborts)
}
