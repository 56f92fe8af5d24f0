package apimodel

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// teamSize is how many threads there are besides that of the test.
const teamSize = 3

// team is goroutines, each on a thread of its own.
type team struct {
	work [teamSize]chan func()
}

var theTeam = newTeam()

func newTeam() *team {
	t := &team{}
	for i := range t.work {
		t.work[i] = make(chan func())
		go func() {
			runtime.LockOSThread()
			debug.SetPanicOnFault(true)
			for call := range t.work[i] {
				call()
			}
		}()
	}
	return t
}

// start makes a thread of the team carry out a call, and returns how to wait for the
// end of it, which panics with what the call has panicked with.
func (t *team) start(thread int, call func()) (wait func()) {
	done := make(chan any)
	t.work[thread-1] <- func() { done <- panicOf(call) }
	return func() {
		if value := <-done; value != nil {
			panic(value)
		}
	}
}

// on carries out a call on a thread: 0 is the running one.
func (t *team) on(thread int, call func()) {
	if thread == 0 {
		call()
		return
	}
	t.start(thread, call)()
}

var teamActions = []action{
	{"together", 3, (*world).together},
	{"gomaxprocs", 1, func(_ *world, o op) { runtime.GOMAXPROCS(1 + o.m%4) }},
}

// member is what one thread does while the others work, too.
type member struct {
	random *rand.Rand
	seed   uint64
	all    []*allocator
	caches []*cache // of open allocators
	using  []object
	blocks []*block // its own
	freed  []*block // blocks of the world that it has freed
	steps  int
	faulty bool
}

// object is one of a cache, with the seed of its contents.
type object struct {
	from *cache
	b    []byte
	seed uint64
}

// together has the threads of the team allocate and free at the same time. Each has
// blocks of its own, some of which are the world's.
func (w *world) together(o op) {
	var all []*allocator
	for _, m := range w.all {
		if !m.closed {
			all = append(all, m)
		}
	}
	if len(all) == 0 || o.thread != 0 {
		return
	}
	var caches []*cache
	for _, c := range w.caches {
		if !c.owner.closed && !c.closed {
			caches = append(caches, c)
			c.mixed = true // what the last Put has left is not known
		}
	}
	members := make([]*member, 2+o.a%(teamSize-1))
	for i := range members {
		w.seed += 1 << 20 // what one of them fills in the meantime
		members[i] = &member{random: rand.New(rand.NewPCG(uint64(o.n), uint64(o.m*8+i))), seed: w.seed, all: all, caches: caches, steps: 10 + o.m/2, faulty: w.faulty}
	}
	w.seed += 1 << 20
	for i := len(w.blocks) - 1; i >= 0; i-- {
		if i%2 == 0 {
			to := members[i/2%len(members)]
			to.blocks = append(to.blocks, w.blocks[i])
			w.blocks = append(w.blocks[:i], w.blocks[i+1:]...)
		}
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	var exceeded any
	watch.Go(func() { exceeded = panicOf(func() { watchLimits(all, stop) }) })
	waits := make([]func(), len(members))
	for i, g := range members {
		waits[i] = w.team.start(i+1, g.run)
	}
	var first any
	for _, wait := range waits {
		if value := panicOf(wait); first == nil {
			first = value
		}
	}
	close(stop)
	watch.Wait()
	if first == nil {
		first = exceeded
	}
	if first != nil {
		panic(first)
	}
	w.settle()
	for _, g := range members {
		for _, b := range g.freed {
			w.forget(b)
		}
	}
	for _, g := range members {
		for _, b := range g.blocks {
			w.blocks = append(w.blocks, b)
			if b.fresh {
				b.fresh = false
				w.insert(b, "together")
			}
		}
	}
}

// watchLimits checks that no limit is exceeded, until stop is closed.
func watchLimits(all []*allocator, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		for _, m := range all {
			for s := range m.a.Budgets() {
				check(s.Limit == 0 || s.Charged <= s.Limit, "%d bytes are charged to %s, above its limit of %d", s.Charged, s.Name, s.Limit)
			}
			s := m.a.Stats()
			check(s.Live >= 0 && s.CachedVCPU >= 0 && s.CachedCentral >= 0 && s.CachedTransfer >= 0, "negative figures: %v", s)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func (g *member) run() {
	most, held := 2<<20, 0
	for range g.steps {
		m := g.all[g.random.IntN(len(g.all))]
		n := g.random.IntN(1 << (4 + g.random.IntN(16)))
		switch k := g.random.IntN(20); {
		case k < 9 && held+n < most:
			held += n
			zeroed := k%2 == 0
			call := m.a.AllocUninit
			if zeroed {
				call = m.a.Alloc
			}
			b, err := call(n)
			if g.failed(err) {
				continue
			}
			if zeroed {
				checkZero(b[:cap(b)], "Alloc")
			}
			g.keep(m, b)
		case k < 10 && held+8*n < most:
			held += 8 * n
			dst := make([][]byte, 8)
			filled, err := m.a.AllocBatch(dst, n)
			g.failed(err)
			for _, b := range dst[:filled] {
				checkZero(b[:cap(b)], "AllocBatch")
				g.keep(m, b)
			}
		case k < 12:
			g.realloc(n)
		case k < 14:
			g.cache()
		case k == 14:
			g.rare(m, n)
		default:
			if b := g.take(); b != nil {
				g.lost(b)
				b.owner.a.Free(cut(b.b, g.random.IntN(6)))
			}
		}
	}
	for len(g.using) > 0 {
		g.put(0)
	}
}

// cache gets an object or puts one.
func (g *member) cache() {
	if len(g.caches) == 0 {
		return
	}
	if len(g.using) > 10 || len(g.using) > 0 && g.random.IntN(2) == 0 {
		g.put(g.random.IntN(len(g.using)))
		return
	}
	c := g.caches[g.random.IntN(len(g.caches))]
	b, err := c.get()
	if errors.Is(err, errConstructor) && c.failing || g.failed(err) {
		return
	}
	if c.zero {
		checkZero(b, "an object of Get")
	}
	check(addressOf(b)%uintptr(c.align) == 0, "Get: an object at %#x, not aligned to %d", addressOf(b), c.align)
	g.seed++
	fill(b, g.seed)
	g.using = append(g.using, object{c, b, g.seed})
}

func (g *member) put(at int) {
	o := g.using[at]
	g.using = append(g.using[:at], g.using[at+1:]...)
	checkFilled(o.b, o.seed, "an object, together")
	o.from.put(o.b)
}

// rare is one of what takes longer.
func (g *member) rare(m *allocator, n int) {
	switch g.random.IntN(4) {
	case 0:
		_, err := m.a.Trim(context.Background())
		check(err == nil || g.faulty, "Trim: %v", err)
	case 1: // a region
		r := alloc.NewRegion(m.a, alloc.RegionOptions{Chunk: 4 << 10})
		var pieces []*block
		for range 20 {
			b, err := r.Bytes(n / 16)
			if g.failed(err) {
				break
			}
			checkZero(b[:cap(b)], "Region.Bytes")
			g.seed++
			fill(b[:cap(b)], g.seed)
			pieces = append(pieces, &block{b: b, seed: g.seed})
		}
		for _, p := range pieces {
			checkFilled(p.b[:cap(p.b)], p.seed, "a region, together")
		}
		r.Release()
	case 2: // a child, closed with a block in use
		child, err := m.a.Child(alloc.Options{Name: "short", Reserve: granule, ReleaseDelay: -1})
		if err != nil {
			check(g.faulty, "Child: %v", err)
			return
		}
		b, err := child.Alloc(n)
		if !g.failed(err) {
			checkZero(b, "Alloc of a child")
			fill(b, 1)
		}
		err = child.Close()
		check(err == nil || g.faulty, "Close: %v", err)
		for try := 0; err != nil && !errors.Is(err, alloc.ErrClosed); try++ {
			check(try < 10_000, "Close again: %v", err)
			err = child.Close()
		}
	case 3:
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Microsecond)
		defer cancel()
		b, err := m.a.AllocWait(ctx, n)
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if !g.failed(err) {
			checkZero(b[:cap(b)], "AllocWait")
			g.keep(m, b)
		}
	}
}

func (g *member) failed(err error) bool {
	check(err == nil || isRefusal(err), "%v, which is no documented error", err)
	return err != nil
}

func (g *member) keep(m *allocator, b []byte) {
	g.seed++
	fill(b[:cap(b)], g.seed)
	g.blocks = append(g.blocks, &block{owner: m, b: b, seed: g.seed, fresh: true})
}

// take takes a block out, whose contents must be good.
func (g *member) take() *block {
	if len(g.blocks) == 0 {
		return nil
	}
	i, last := g.random.IntN(len(g.blocks)), len(g.blocks)-1
	b := g.blocks[i]
	g.blocks[i] = g.blocks[last]
	g.blocks = g.blocks[:last]
	checkFilled(b.b[:cap(b.b)], b.seed, "together")
	return b
}

// lost records that a block is freed.
func (g *member) lost(b *block) {
	if !b.fresh {
		g.freed = append(g.freed, b)
	}
}

func (g *member) realloc(n int) {
	b := g.take()
	if b == nil {
		return
	}
	kept := min(len(b.b), n)
	after, err := b.owner.a.Realloc(b.b, n)
	if g.failed(err) {
		g.blocks = append(g.blocks, b)
		return
	}
	g.lost(b)
	if at := firstOther(after[:kept], b.seed, 0); at >= 0 {
		fail("Realloc from %d to %d bytes: byte %d is lost", len(b.b), n, at)
	}
	checkZero(after[kept:], "Realloc behind what is kept")
	g.keep(b.owner, after)
}

func isRefusal(err error) bool {
	return errors.Is(err, alloc.ErrLimit) || errors.Is(err, alloc.ErrNoMemory) || errors.Is(err, alloc.ErrTooLarge)
}
