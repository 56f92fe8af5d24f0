//go:build vcpualloc_stalled && (amd64 || arm64)

package rseqcs

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// The ways to interrupt a thread that stands at an injection point.
const (
	bySignal = iota
	byPreemption
	byMigration
	byFence
	wayCount
	byStorm = wayCount // signals without end
)

var wayNames = [wayCount]string{"a signal", "a preemption", "a migration", "a fence"}

// interruptions is how often the player is interrupted in one operation if that is
// inside of the section: the second time it must be as well protected as before.
const interruptions = 2

// roundTries bounds how often one interruption is tried: somebody else may come
// first (the runtime preempts who runs for 10 ms), or the ids may change.
const roundTries = 400

// stormTries is likewise, of storms.
const stormTries = 10

// TestEveryPoint holds a thread at each injection point of each section,
// interrupts it there in each way, and looks at what the section has done: before
// its commit it starts again and sees what others did meanwhile; outside of the
// section nothing happens.
func TestEveryPoint(t *testing.T) {
	needSections(t)
	g := newGame(t)
	for _, s := range sectionsOf(t, runtime.GOARCH) {
		play, known := plays[s.name]
		if !known {
			t.Errorf("section %s has no entry in plays", s.name)
			continue
		}
		g.section, g.play = play.section, play
		for _, g.number = range s.points {
			for g.way = range wayCount {
				if g.way == byFence && !rseq.HasFence() {
					continue
				}
				g.tryRound()
			}
		}
		t.Logf("%-10s aborts at its points: %v", s.name, g.abortsOf(s.points))
	}
}

// TestRestartsAreCapped interrupts a section each time that it has started. It
// must give up in the end, having done nothing.
func TestRestartsAreCapped(t *testing.T) {
	needSections(t)
	g := newGame(t)
	g.way, g.number = byStorm, 2
	for _, s := range sectionsOf(t, runtime.GOARCH) {
		g.section, g.play = plays[s.name].section, plays[s.name]
		want := uint64(maxRestarts)
		if g.play.once {
			want = 1
		}
		var r roundResult
		for tries := 0; tries < stormTries && r.times == 0; tries++ {
			r = g.round()
		}
		if r.inAll != want {
			t.Fatalf("%s: it gave up after %d aborts, want %d", s.name, r.inAll, want)
		}
		g.compare(s.name+" under a storm of signals", r)
	}
}

// needSections ends the test where no section runs.
func needSections(t *testing.T) {
	t.Helper()
	if prepare(); !sections {
		t.Skipf("no sections run here: %s", vcpu.Probe().Reason)
	}
}

// game is a thread that is held and interrupted, and those who do it.
type game struct {
	t       *testing.T
	stack   *Stack
	counter *Counter
	o       *operations    // of the player
	base    unsafe.Pointer // of the row that they work on

	blocks  Blocks // on the stack
	single  Single // likewise
	slow    bool   // whether the slow path of one of them took a block
	classes *ClassTable
	pages   []PageEntry

	origin        unsafe.Pointer    // of the objects that the slabs begin with
	own           [2]unsafe.Pointer // that the player can push
	foreign       unsafe.Pointer    // that only who meddles pushes
	brought, kept []unsafe.Pointer  // of own, in this operation; by the player, behind it

	play            play
	section, number int // the point
	way             int
	turns           uint32 // of a wait

	thread    int // id of the player's thread
	home, far int // CPUs
	id        int // of the player's vCPU before the operation
	over      atomic.Bool
	patience  time.Duration
	remote    chan *game  // to the one on the far CPU
	intruder  chan *game  // to the one on the player's CPU
	times     chan uint32 // how often they interrupted the player
}

// newGame makes the running goroutine the player, until the end of the test.
func newGame(t *testing.T) *game {
	t.Helper()
	g := &game{
		t: t, counter: new(Counter), turns: spinsFor(5 * time.Second), patience: 2 * time.Second,
		remote: make(chan *game), intruder: make(chan *game), times: make(chan uint32),
	}
	runtime.LockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	cpus := cpusOf(before)
	if len(cpus) < 2 {
		t.Skip("one CPU: there is none to interrupt from")
	}
	g.home, g.far, g.thread = cpus[0], cpus[1], unix.Gettid()
	procs := runtime.GOMAXPROCS(16) // nobody has to wait for the player's P
	// A collection sends signals to the player for as long as that is held, and
	// after maxRestarts of them a section gives up.
	percent := debug.SetGCPercent(-1)
	setSpins(0)
	ended := crowd(2*len(cpus) + 2)
	go serve(g.far, g.remote, (*game).interrupt)
	go serve(g.home, g.intruder, (*game).intrude)
	t.Cleanup(func() {
		close(g.remote)
		close(g.intruder)
		close(ended)
		setSpins(stallSpins)
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(percent)
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	g.counter.Add(0)
	g.makeObjects()
	return g
}

func cpusOf(set unix.CPUSet) (cpus []int) {
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// crowd keeps so many threads alive until the channel is closed: with fewer
// threads than CPUs, Linux since 6.19 gives an id to each thread for good, and two
// on the same CPU do not meet.
func crowd(threads int) (ended chan struct{}) {
	ended = make(chan struct{})
	there := make(chan struct{})
	for range threads {
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends
			there <- struct{}{}
			<-ended
		}()
	}
	for range threads {
		<-there
	}
	return ended
}

// serve answers calls on a thread that is pinned to a CPU.
func serve(cpu int, calls <-chan *game, answer func(*game) uint32) {
	runtime.LockOSThread() // never unlocked: the thread ends
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		panic(err)
	}
	rseq.EnsureThread()
	shortenSlice()
	for g := range calls {
		g.times <- answer(g)
	}
}

// shortenSlice lets the thread take the CPU when it wakes up, see the self-test
// in package vcpu.
func shortenSlice() {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil || attributes.Policy != unix.SCHED_NORMAL {
		return
	}
	attributes.Runtime = uint64(100 * time.Microsecond)
	unix.SchedSetAttr(0, attributes, 0) // kernels before 6.12 have one slice for all
}

func (g *game) point() *point { return &points[g.section][g.number] }

// wait sleeps until the player waits at the point for the nth time. It gives up
// when the round is over, or after a while.
func (g *game) wait(nth uint32) bool {
	nap := unix.NsecToTimespec(int64(20 * time.Microsecond))
	for end := time.Now().Add(g.patience); !g.over.Load() && time.Now().Before(end); {
		if atomic.LoadUint32(&g.point().waits) >= nth {
			return true
		}
		unix.Nanosleep(&nap, nil)
	}
	return false
}

// interrupt interrupts the player from another CPU, and once more if it comes back
// to the point. It returns how often, or 0 for a storm that it has ended itself, without
// patience: on a busy machine the player may have no CPU for so long.
func (g *game) interrupt() (times uint32) {
	defer g.point().letGo()
	for ; times < g.most() && g.wait(1+times); times++ {
		var err error
		switch g.way {
		case bySignal, byStorm:
			err = unix.Tgkill(unix.Getpid(), g.thread, unix.SIGURG)
		case byMigration:
			var one unix.CPUSet
			one.Set([interruptions]int{g.far, g.home}[times])
			err = unix.SchedSetaffinity(g.thread, &one)
		case byFence:
			err = rseq.FenceOnce()
		}
		if err != nil {
			g.t.Error(err)
		}
	}
	if g.way == byStorm && times < g.most() && !g.over.Load() {
		return 0
	}
	time.Sleep(50 * time.Microsecond) // a signal takes a moment
	return times
}

// intrude takes the CPU from the player and works on the same slab, and once more
// if the player comes back to the point. It returns how often, or 0 when the two
// had different vCPUs.
func (g *game) intrude() (times uint32) {
	defer g.point().letGo()
	for ; times < g.most() && g.wait(1+times); times++ {
		if vcpu.Current() != g.id {
			return 0
		}
		g.meddle()
		if vcpu.Current() != g.id {
			return 0
		}
	}
	return times
}

// most is how often the player is interrupted in one operation.
func (g *game) most() uint32 {
	switch {
	case g.way == byStorm:
		return 3 * maxRestarts
	case g.inside():
		return interruptions
	}
	return 1
}

// inside reports whether an interruption at the point must abort the section.
func (g *game) inside() bool { return g.number > 1 && g.number < 9 }

// tryRound plays rounds until the player was interrupted at the point, and
// checks that one.
func (g *game) tryRound() {
	name := fmt.Sprintf("section %d at point %d, interrupted by %s", g.section, g.number, wayNames[g.way])
	for range roundTries {
		r := g.round()
		if r.times == 0 {
			continue
		}
		if (r.aborts > 0) != g.inside() || g.inside() && r.inAll < uint64(r.times) {
			g.t.Fatalf("%s: %d aborts there, %d in the section; it was interrupted %d times", name, r.aborts, r.inAll, r.times)
		}
		if !g.inside() && r.inAll > 0 {
			continue // on a busy machine: at another point, by something else
		}
		g.compare(name, r)
		return
	}
	g.t.Errorf("%s: %d rounds, and in none of them was it interrupted there", name, roundTries)
}

// compare checks what a round did.
func (g *game) compare(name string, r roundResult) {
	for id, got := range r.slabs {
		if want := r.want[id]; fmt.Sprint(got) != fmt.Sprint(want) {
			g.t.Errorf("conservation: %s: slab %d (the player's was %d, is %d):\n got %v\nwant %v", name, id, g.id, r.idAfter, got, want)
		}
	}
	if r.result != r.wantResult {
		g.t.Errorf("conservation: %s: result %v, want %v", name, r.result, r.wantResult)
	}
}

// roundResult is what a round did, and what it should have done.
type roundResult struct {
	times              uint32 // of interruptions; 0 for a round that shows nothing
	aborts, inAll      uint64 // at the point, and in the section
	idAfter            int
	slabs, want        []slabState
	result, wantResult any
}

func (g *game) round() (r roundResult) {
	g.pinHome()
	before := g.setUp()
	defer g.stack.Close()
	point := g.point()
	g.over.Store(false)
	aborts, inAll := atomic.LoadUint64(&point.aborts), ReadStats().Aborts
	g.id = vcpu.Current()
	point.arm(g.turns)
	if g.way == byPreemption {
		g.intruder <- g
	} else {
		g.remote <- g
	}
	r.result = g.play.operate(g)
	r.idAfter = vcpu.Current()
	g.over.Store(true)
	r.times = <-g.times
	r.aborts, r.inAll = atomic.LoadUint64(&point.aborts)-aborts, ReadStats().Aborts-inAll
	moved, gaveUp := r.idAfter != g.id, r.inAll >= maxRestarts
	if moved && g.way != byMigration || gaveUp && g.way != byStorm {
		r.times = 0 // on a busy machine the player may lose its CPU so often before it is let go
	}
	r.slabs, r.want = g.states(), before
	at := g.id
	if g.number < 9 {
		at = r.idAfter
	}
	state := &r.want[at]
	if g.number == 9 {
		r.wantResult = g.play.model(g, state)
	}
	if g.way == byPreemption {
		for range r.times {
			g.modelMeddle(state)
		}
	}
	switch {
	case g.way == byStorm || g.play.once && g.inside():
		r.wantResult = g.play.nothing
	case g.number < 9:
		r.wantResult = g.play.model(g, state)
	}
	return r
}

// pinHome pins the player to its CPU.
func (g *game) pinHome() {
	var one unix.CPUSet
	one.Set(g.home)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		g.t.Fatal(err)
	}
}

func (g *game) abortsOf(numbers []int) map[int]uint64 {
	aborts := make(map[int]uint64)
	for _, number := range numbers {
		aborts[number] = atomic.LoadUint64(&points[g.section][number].aborts)
	}
	return aborts
}

// objectSize is the size of fullClass in bytes.
const objectSize = 64

// makeObjects makes memory for all objects: pages of fullClass.
func (g *game) makeObjects() {
	const pageSize = 1 << PageShift
	count := (fullInitial+1)*(vcpu.Max()+len(g.counter.ps)) + 3
	g.pages = make([]PageEntry, count*objectSize/pageSize+1)
	for i := range g.pages {
		g.pages[i] = EntryOf(fullClass, 0)
	}
	g.origin = alignedPages(0, len(g.pages))
	g.own = [2]unsafe.Pointer{g.nth(count - 1), g.nth(count - 2)}
	g.foreign = g.nth(count - 3)
	g.classes = newClassTable([]int{objectSize})
}

// nth returns an object by its number.
func (g *game) nth(number int) unsafe.Pointer { return unsafe.Add(g.origin, number*objectSize) }

// object returns one of the objects that a slab begins with.
func (g *game) object(slab, index int) unsafe.Pointer { return g.nth(slab*(fullInitial+1) + index) }
