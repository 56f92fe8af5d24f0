package rseqcs

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// token is an object that knows who has it.
type token struct {
	owner atomic.Int32 // 0: nobody, it is in the stack or in the reserve
	_     [60]byte
}

// reserve takes the tokens that found no room, and feeds goroutines on vCPUs
// that have none.
type reserve struct {
	mu     sync.Mutex
	tokens []unsafe.Pointer
}

func (r *reserve) put(tokens ...unsafe.Pointer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, tokens...)
}

func (r *reserve) take(n int) []unsafe.Pointer {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, len(r.tokens))
	taken := append([]unsafe.Pointer(nil), r.tokens[len(r.tokens)-n:]...)
	r.tokens = r.tokens[:len(r.tokens)-n]
	return taken
}

const (
	tokenCount = 200
	players    = 32
	playClass  = 1
)

// TestStackConserves hands tokens round through every operation, under a storm:
// none may ever have two owners, and none may be lost.
func TestStackConserves(t *testing.T) {
	stress.Storm(t)
	conserve(t, players, 2*time.Millisecond)
}

// TestDrainConserves is the same with few goroutines, so that nearly always one
// is in a section while the slabs are drained.
func TestDrainConserves(t *testing.T) { conserve(t, 3, 20*time.Microsecond) }

// conserve lets so many goroutines play, and drains after each pause.
func conserve(t *testing.T, players int, pause time.Duration) {
	t.Helper()
	stack, err := NewStack("test", []Capacity{{1, 1}, {4, 40}, {7, 7}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	tokens := make([]token, tokenCount)
	var pool reserve
	for i := range tokens {
		pool.put(unsafe.Pointer(&tokens[i]))
	}
	aborts := ReadStats().Aborts
	var rounds, failures atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(stress.Duration())
	// With delays between the steps of the sections some are aborted, sooner or later.
	goesOn := func() bool {
		return time.Now().Before(end) || stalled && sections && ReadStats().Aborts == aborts && !t.Failed()
	}
	for number := range players {
		all.Go(func() {
			p := player{t: t, me: int32(number + 1), stack: stack, pool: &pool, failures: &failures}
			for goesOn() && failures.Load() == 0 {
				for range 50 {
					p.round()
				}
				rounds.Add(50)
			}
		})
	}
	all.Go(func() { drainNowAndThen(stack, &pool, pause, goesOn) })
	all.Wait()
	checkNoneLost(t, stack, &pool, tokens)
	aborts = ReadStats().Aborts - aborts
	t.Logf("mode %v, %d rounds, %d aborts", vcpu.Probe().Mode, rounds.Load(), aborts)
}

// drainNowAndThen empties all slabs into the reserve again and again, and in
// between those that did not change while it looked.
func drainNowAndThen(stack *Stack, pool *reserve, pause time.Duration, goesOn func() bool) {
	idle := stack.NewIdle()
	put := func(_ int, objects []unsafe.Pointer) { pool.put(objects...) }
	for goesOn() {
		time.Sleep(pause)
		stack.Drain(put)
		time.Sleep(pause)
		idle.Look(0)
		idle.Drain(0, put)
	}
}

// player is one goroutine of the game.
type player struct {
	t        *testing.T
	me       int32
	stack    *Stack
	pool     *reserve
	failures *atomic.Int64
}

// round takes one token or a batch, owns it for a moment, and gives it back.
func (p *player) round() {
	var array [8]unsafe.Pointer
	n := 1
	if rand.IntN(4) == 0 {
		n = p.stack.PopBatch(playClass, array[:1+rand.IntN(len(array))])
	} else if array[0] = p.stack.Pop(playClass); array[0] == nil {
		n = 0
	}
	if n == 0 {
		n = copy(array[:], p.pool.take(1+rand.IntN(4)))
	}
	for _, object := range array[:n] {
		p.own(object)
	}
	if rand.IntN(8) == 0 {
		runtime.Gosched()
	}
	for _, object := range array[:n] {
		p.disown(object)
	}
	if n > 1 && rand.IntN(2) == 0 {
		kept := p.stack.PushBatch(playClass, array[:n])
		p.pool.put(array[kept:n]...)
		return
	}
	for _, object := range array[:n] {
		switch p.stack.Push(playClass, object) {
		case Full:
			p.stack.Grow(playClass, 1)
			p.pool.put(object)
		case Duplicate:
			p.fail("conservation: token %p is pushed while it is in the stack", object)
		}
	}
}

func (p *player) own(object unsafe.Pointer) {
	if !(*token)(object).owner.CompareAndSwap(0, p.me) {
		p.fail("conservation: token %p has two owners, %d and %d", object, (*token)(object).owner.Load(), p.me)
	}
}

func (p *player) disown(object unsafe.Pointer) {
	if !(*token)(object).owner.CompareAndSwap(p.me, 0) {
		p.fail("conservation: token %p of %d has gone to %d", object, p.me, (*token)(object).owner.Load())
	}
}

func (p *player) fail(format string, args ...any) {
	if p.failures.Add(1) == 1 {
		p.t.Errorf(format, args...)
	}
}

// checkNoneLost finds every token once, in the stack or in the reserve.
func checkNoneLost(t *testing.T, stack *Stack, pool *reserve, tokens []token) {
	t.Helper()
	found := make(map[unsafe.Pointer]int)
	for _, object := range append(stack.contents(playClass), pool.tokens...) {
		found[object]++
	}
	for i := range tokens {
		if n := found[unsafe.Pointer(&tokens[i])]; n != 1 {
			t.Errorf("conservation: token %d is there %d times", i, n)
		}
	}
	if len(found) != len(tokens) {
		t.Errorf("conservation: %d different objects for %d tokens", len(found), len(tokens))
	}
	if err := stack.checkInvariants(); err != nil {
		t.Error(err)
	}
}

// TestCounterIsExact adds from many goroutines under a storm. The flag -stress says
// for how long, in units of its default: 400s is 20 million additions of each.
func TestCounterIsExact(t *testing.T) {
	stress.Storm(t)
	var c Counter
	var all sync.WaitGroup
	const goroutines, additions = 16, 100_000
	count := max(1, int(additions*stress.Duration()/(2*time.Second))/2)
	if stalled {
		count = max(1, count/100)
	}
	for range goroutines {
		all.Go(func() {
			for range count {
				c.Add(3 << 32)
				c.Add(-1 << 32)
			}
		})
	}
	all.Wait()
	t.Logf("%d additions of each", 2*count)
	if got, want := c.Value(), int64(2*goroutines*count)<<32; got != want {
		t.Errorf("sum %d, want %d", got, want)
	}
}

// TestStackIsLIFO plays against a model on one vCPU.
func TestStackIsLIFO(t *testing.T) {
	seed := rand.Uint64()
	for try := range 100 {
		if onOneVCPU(t, func() { playModel(t, rand.New(rand.NewPCG(seed, uint64(try)))) }) {
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU")
}

// playModel runs random operations on a Stack and on a slice.
func playModel(t *testing.T, random *rand.Rand) {
	const initial, most = 5, 20
	stack, err := NewStack("model", []Capacity{{initial, most}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	objects := make([]token, 64)
	var model []unsafe.Pointer
	room := initial
	id := stack.Here()
	next := func() unsafe.Pointer { return unsafe.Pointer(&objects[random.IntN(len(objects))]) }
	for step := range 2000 {
		var got, want any
		switch random.IntN(6) {
		case 0:
			object, top := next(), unsafe.Pointer(nil)
			if len(model) > 0 {
				top = model[len(model)-1]
			}
			got, want = stack.Push(0, object), Pushed
			switch {
			case len(model) >= room:
				want = Full
			case object == top:
				want = Duplicate
			default:
				model = append(model, object)
			}
		case 1:
			want = unsafe.Pointer(nil)
			if n := len(model); n > 0 {
				want, model = model[n-1], model[:n-1]
			}
			got = stack.Pop(0)
		case 2:
			into := make([]unsafe.Pointer, random.IntN(6))
			n := min(len(into), len(model))
			got, want = stack.PopBatch(0, into), n
			for i := range n {
				if into[i] != model[len(model)-1-i] {
					got = "another order"
				}
			}
			model = model[:len(model)-n]
		case 3:
			from := make([]unsafe.Pointer, random.IntN(6))
			for i := range from {
				from[i] = next()
			}
			n := min(len(from), max(0, room-len(model)))
			got, want = stack.PushBatch(0, from), n
			model = append(model, from[:n]...)
		case 4:
			by := random.IntN(3)
			set := len(model) > 0 || stack.Len(id, 0) > 0 || stack.isSetUp(id, 0)
			got, want = stack.Grow(0, by), set && room < most && by > 0
			if set {
				room = min(room+by, most)
			}
			if by == 0 {
				got = want // nothing was asked for
			}
		case 5:
			by := random.IntN(8)
			less := min(by, room-initial)
			got, want = stack.Shrink(id, 0, by), less
			room -= less
		}
		if now, limit := stack.Capacity(id, 0); stack.isSetUp(id, 0) && (now != room || limit != most) {
			t.Fatalf("step %d: room for %d of %d objects, want %d of %d", step, now, limit, room, most)
		}
		if stack.Here() != id {
			return // the caller repeats
		}
		if got != want || stack.Len(id, 0) != len(model) {
			t.Fatalf("step %d: got %v, want %v; %d objects, want %d", step, got, want, stack.Len(id, 0), len(model))
		}
	}
}

// mostSlots is how many slots a single class can have: the headers, the countdown, an end mark and the
// word below the next slab are needed as well.
const mostSlots = (slabSize-offsetSlots)/slotSize - 2

// TestSlabsAreApart: no slab lies on another one or on a control word.
func TestSlabsAreApart(t *testing.T) {
	stack, err := NewStack("apart", []Capacity{{mostSlots, mostSlots}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	total, vcpus := stack.Slabs()
	if ps := max(vcpu.Max(), runtime.GOMAXPROCS(0)); total-vcpus < ps || vcpus == 0 && total < minPs {
		t.Errorf("%d slabs, %d of them for vCPUs; want at least %d for Ps, and %d where there are no others", total, vcpus, ps, minPs)
	}
	end := uintptr(stack.memory.Base)
	for index := range total {
		at := uintptr(stack.slab(index))
		if index == vcpus || index == 0 {
			if control := at - uintptr(-controlCount); control < end {
				t.Errorf("the control word at %#x lies in the slab before, which ends at %#x", control, end)
			}
		}
		if at < end {
			t.Errorf("slab %d at %#x lies in the one before, which ends at %#x", index, at, end)
		}
		end = at + slabSize
	}
	if last := uintptr(stack.memory.Base) + stack.memory.Size; end > last {
		t.Errorf("the last slab ends at %#x, the memory at %#x", end, last)
	}
}

// TestFootprint counts a class that one slab has set up.
func TestFootprint(t *testing.T) {
	const initial = 5
	stack, err := NewStack("footprint", []Capacity{{initial, 9}, {1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	if n := stack.Footprint(); n != 0 || stack.Used() != 0 {
		t.Errorf("%d bytes of %d slabs before the first use", n, stack.Used())
	}
	c := stack.classes[0]
	*headerAt(stack.slab(0), 0) = header{c.begin, c.first}
	if n, want := stack.Footprint(), int64(initial*slotSize+2*headerSize); n != want {
		t.Errorf("%d bytes, want %d", n, want)
	}
	last, _ := stack.Slabs()
	begin := stack.classes[1].begin
	*headerAt(stack.slab(last-1), 1) = header{begin, begin} // set up with no room yet
	if n := stack.Used(); n != 2 {
		t.Errorf("%d slabs are used, want the first and the last", n)
	}
}

// TestCounterWithoutACell adds where no id has a cell.
func TestCounterWithoutACell(t *testing.T) {
	var c Counter
	c.Add(1)
	for _, row := range [][]cell{c.vcpus, c.ps} {
		if len(row) == 0 {
			continue
		}
		count := rowCount(unsafe.Pointer(&row[1]))
		if int(*count) != len(row)-1 {
			t.Errorf("a row of %d cells counts %d", len(row)-1, *count)
		}
		*count = 0
	}
	c.Add(5)
	if c.Value() != 6 {
		t.Errorf("sum %d, want 6", c.Value())
	}
}

// TestCounterCountsEveryCell gives each cell a value.
func TestCounterCountsEveryCell(t *testing.T) {
	var c Counter
	c.Add(0)
	want := int64(0)
	for _, row := range [][]cell{c.vcpus, c.ps} {
		for i := 1; i < len(row); i++ {
			row[i].sum += int64(i)
			want += int64(i)
		}
	}
	if c.Value() != want {
		t.Errorf("sum %d, want %d", c.Value(), want)
	}
}

func TestNewStackRefuses(t *testing.T) {
	for name, capacities := range map[string][]Capacity{
		"too many classes": make([]Capacity, MaxClasses+1),
		"too many slots":   {{1, slabSize / slotSize}},
		"the last word":    {{1, mostSlots + 1}},
		"max below":        {{2, 1}},
		"negative":         {{-1, 1}},
	} {
		if stack, err := NewStack("refused", capacities); err == nil {
			stack.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
