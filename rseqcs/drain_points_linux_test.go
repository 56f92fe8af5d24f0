//go:build vcpualloc_stalled && (amd64 || arm64)

package rseqcs

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// TestDrainAtEveryPoint holds a thread inside of a section while Drain and Shut
// take the objects away, and lets another section begin while the slabs are
// stopped. Every object is then in one place.
func TestDrainAtEveryPoint(t *testing.T) {
	needSections(t)
	g := newGame(t)
	defer func() { kernelFence = rseq.FenceOnce }()
	g.turns = spinsFor(10 * time.Millisecond) // on the slabs of the Ps the world stops behind the section
	for _, row := range []string{"vCPUs", "vCPUs", "vCPUs without a fence", "vCPUs with an abort lost", "Ps"} {
		g.home, g.far = g.far, g.home // so that each id is among them, 0 too
		kernelFence = rseq.FenceOnce
		switch row {
		case "vCPUs without a fence":
			kernelFence = func() error { return errNoFence }
		case "vCPUs with an abort lost":
			kernelFence = losesFirst(kernelFence)
		}
		for _, s := range sectionsOf(t, runtime.GOARCH) {
			g.section, g.play = plays[s.name].section, plays[s.name]
			if g.section == addSection || row == "Ps" && g.play.once {
				continue // not on a stack; Blocks work on the row of the mode
			}
			for _, g.number = range s.points {
				if g.number == 1 && row == "vCPUs" {
					g.drainBefore(t, s.name)
				}
				if !g.inside() {
					continue
				}
				for _, take := range []taking{{name: "Drain"}, {name: "Drain", late: true}, {name: "Shut"}, {name: "Shut", late: true}} {
					take.onPs = row == "Ps"
					g.drain(take)
					if t.Failed() {
						t.Fatalf("section %s at point %d on the slabs of the %s, %+v", s.name, g.number, row, take)
					}
				}
			}
		}
	}
}

// losesFirst is a kernel that loses the aborts of the first of each two calls.
func losesFirst(call func() error) func() error {
	first := false
	return func() error {
		if first = !first; first {
			return nil
		}
		return call()
	}
}

// taking is how objects are taken away from under the player.
type taking struct {
	name string
	onPs bool // whether the player works on the slabs of the Ps
	late bool // whether the player begins when the slabs are stopped already
}

// drain plays one round and counts the objects.
func (g *game) drain(take taking) {
	g.pinHome()
	g.setUp()
	defer g.stack.Close()
	if take.onPs {
		g.o, g.base = &pinned, g.stack.ps
		atomic.AddInt32(&g.stack.onPs, 1) // as enter does
	}
	var places places
	places.addAll(g.stack)
	want := len(places)
	clear(places)

	g.over.Store(false)
	g.point().arm(g.turns)
	var stopped atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer g.point().letGo()
		pinDrainer(g.far)
		visits := uint32(2) // that the player begins before all objects are taken
		if take.late {
			visits = 1
		} else {
			g.wait(1)
		}
		give := func(_ int, objects []unsafe.Pointer) {
			places.add(objects)
			if !stopped.Swap(true) {
				g.waitShort(visits)
			}
		}
		if take.name == "Shut" {
			g.stack.Shut(give)
		} else {
			g.stack.Drain(give)
		}
	}()
	for take.late && !stopped.Load() {
		runtime.Gosched()
	}
	g.play.operate(g)
	g.stack.leave(g.o)
	g.over.Store(true)
	<-done
	places.add(g.kept)
	places.addAll(g.stack)
	want += len(g.brought)
	if len(places) != want {
		g.t.Errorf("conservation: %d different objects, want %d", len(places), want)
	}
	for object, times := range places {
		if times != 1 {
			g.t.Errorf("conservation: object %p is in %d places", object, times)
		}
	}
	g.checkRows(take)
}

// drainBefore holds the player right before START and lets it go while the slabs are
// stopped: what it compared before START must not count.
func (g *game) drainBefore(t *testing.T, name string) {
	g.pinHome()
	g.setUp()
	defer g.stack.Close()
	g.over.Store(false)
	g.point().arm(spinsFor(g.patience))
	came := false // to an end while the slabs were stopped
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer g.point().letGo()
		pinDrainer(g.far)
		if !g.wait(1) {
			return
		}
		first := true
		g.stack.Drain(func(int, []unsafe.Pointer) {
			if first {
				first = false
				g.point().letGo()
				g.wait(2) // until it is over
				came = g.over.Load()
			}
		})
	}()
	result := g.play.operate(g)
	g.over.Store(true)
	<-done
	if came && result != g.play.nothing {
		t.Errorf("section %s began before the slabs were stopped, and its result is %v, not %v", name, result, g.play.nothing)
	}
}

// pinDrainer moves the running goroutine, for good, to a thread on that CPU: on the
// player's it would interrupt the section by its mere presence.
func pinDrainer(cpu int) {
	runtime.LockOSThread() // never unlocked: the thread ends
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		panic(err)
	}
}

// checkRows checks what stays behind.
func (g *game) checkRows(take taking) {
	left := len(g.stack.contents(soleClass)) + len(g.stack.contents(fullClass))
	if left > len(g.brought) {
		g.t.Errorf("%d objects were left behind", left)
	}
	want := [2]uint32{uint32(g.stack.vcpuSlabs), uint32(g.stack.pSlabs)}
	if take.name == "Shut" {
		want = [2]uint32{}
		for index := range g.stack.vcpuSlabs + g.stack.pSlabs {
			if h := *headerAt(g.stack.slab(index), soleClass); h != (header{}) {
				g.t.Errorf("slab %d still has its memory: %+v", index, h)
				break
			}
		}
	}
	if got := [2]uint32{*rowCount(g.stack.vcpus), *rowCount(g.stack.ps)}; got != want {
		g.t.Errorf("%v slabs in the rows, want %v", got, want)
	}
}

// waitShort waits until the player waits for the nth time, or is through. A player
// that is not interrupted comes to neither.
func (g *game) waitShort(nth uint32) {
	nap := unix.NsecToTimespec(int64(20 * time.Microsecond))
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
		if g.over.Load() || atomic.LoadUint32(&g.point().waits) >= nth {
			return
		}
		unix.Nanosleep(&nap, nil)
	}
}

// places counts in how many places each object is.
type places map[unsafe.Pointer]int

func (p *places) add(objects []unsafe.Pointer) {
	if *p == nil {
		*p = make(places)
	}
	for _, object := range objects {
		(*p)[object]++
	}
}

func (p *places) addAll(s *Stack) {
	p.add(s.contents(soleClass))
	p.add(s.contents(fullClass))
}
