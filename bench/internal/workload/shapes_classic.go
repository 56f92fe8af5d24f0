package workload

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// The shapes of published benchmarks whose state is more than slots.

// simple follows glibc's bench-malloc-simple. A step is the whole list of
// sizes and numbers of blocks, as often as it takes for each to be the same
// number of blocks; every second of four is done by a fresh goroutine.
func simple(s scene) plan {
	const most, laps = 1600, 4
	slots := make([][]byte, most)
	steps := 0
	cycle := func() {
		for range laps {
			for _, size := range []int{16, 32, 64} {
				for _, count := range []int{25, 100, 400, most} {
					for range most / count {
						s.simpleRound(slots[:count], size)
					}
				}
			}
		}
	}
	step := func() int {
		if steps++; steps%4 != 2 {
			cycle()
		} else {
			onFreshGoroutine(cycle)
		}
		return laps * 3 * 4 * most
	}
	return plan{workers: []worker{{step: step}}}
}

func onFreshGoroutine(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	<-done
}

// cfrac stands for a program that computes with large numbers: a few tiny
// blocks, each of which lives for some operations.
func cfrac(s scene) plan {
	const blocks, low, high = 16, 8, 64
	random := newRandom(s.seed, 0)
	slots := make([][]byte, blocks)
	return plan{workers: []worker{{
		prepare: func() { s.fill(slots, random, low, high) },
		step: func() int {
			s.replace(slots, random, low, high, stride)
			return stride
		},
		finish: func() { s.drain(slots) },
	}}}
}

// espresso stands for a program that minimises logic: nested calls whose blocks
// go in the reverse order, and some large ones.
func espresso(s scene) plan {
	const deepest, low, high = 400, 8, 300
	random := newRandom(s.seed, 0)
	slots := make([][]byte, deepest)
	height := 0
	return plan{workers: []worker{{
		step: func() int {
			height = s.sway(slots, height, random, low, high, 2*stride)
			return stride
		},
		finish: func() { s.drain(slots) },
	}}}
}

// sh6 has four threads with an array each; a step fills it with all sizes. As in
// the original, the blocks of every fifth window are lost. A garbage collector
// finds them.
func sh6(s scene) plan {
	const threads, slotCount = 4, 2500
	workers := make([]worker, threads)
	for i := range workers {
		own := newHoard(slotCount)
		step := func() int {
			blocks := 0
			for base := 1; base < 1000; base = base*3/2 + 1 {
				for size := base; size > 0; size /= 2 {
					count := 250
					if size >= 100 {
						count = 50
					}
					s.sh6Store(own, size, count)
					blocks += count
				}
			}
			return blocks
		}
		workers[i] = worker{step: step, quota: slotCount, finish: func() { s.drain(own.slots) }}
	}
	return plan{workers: workers, fixed: true, leaks: true}
}

var sh8Rows = [][2]int{{8, 1000}, {16, 5000}, {48, 1000}, {72, 100}, {148, 100}, {200, 100},
	{520, 10}, {1056, 5}, {4096, 3}, {9162, 1}, {34562, 1}, {168524, 1}}

const (
	sh8Threads = 4
	sh8Slots   = 1_000_000 / sh8Threads
	// The original does four times as many, which takes 4 s and more.
	sh8Iterations = 700_000 / sh8Threads / 4
	sh8Foreign    = 10_000_000 / 4
	postSize      = 8
)

// postbox is how the main thread of sh8 hands blocks to the others: block i in
// mailbox i.
type postbox struct {
	boxes  []atomic.Pointer[byte]
	_      [apartBytes]byte
	posted int // owned by the one who posts
}

// postReader walks the mailboxes that one thread reads: a quarter of each
// quarter of all.
type postReader struct {
	thread, quarter int
	at, end         int
}

func (p *postbox) reader(thread int) *postReader {
	of := apart(postReader{thread: thread, quarter: len(p.boxes) / sh8Threads / sh8Threads})
	of.at = thread * of.quarter
	of.end = of.at + of.quarter
	return of
}

// next moves on by a box, at the end of a quarter to the next one.
func (r *postReader) next() {
	if r.at++; r.at == r.end {
		r.at += (sh8Threads - 1) * r.quarter
		r.end = r.at + r.quarter
	}
}

// sh8 has four threads with an array each, which also free what a fifth
// allocates.
func sh8(s scene) plan {
	// The boxes are for the warm-up and the measured time.
	box := &postbox{boxes: make([]atomic.Pointer[byte], s.total(sh8Foreign)/16*16+16)}
	workers := make([]worker, sh8Threads, sh8Threads+1)
	for i := range workers {
		own, reader := newHoard(sh8Slots), box.reader(i)
		row := apart(0)
		step := func() int {
			blocks := s.collect(box, reader)
			*row = (*row + 1) % len(sh8Rows)
			return blocks + s.sh8Store(own, sh8Rows[*row][0], sh8Rows[*row][1])
		}
		workers[i] = worker{step: step, quota: sh8Iterations, finish: func() { s.drain(own.slots) }}
	}
	workers = append(workers, worker{quota: sh8Foreign / stride,
		step: func() int {
			s.post(box, stride)
			return 0
		},
		finish: func() {
			for i := range box.boxes {
				if first := box.boxes[i].Load(); first != nil {
					s.free(sliceOf(first, postSize))
				}
			}
		},
	})
	return plan{workers: workers, fixed: true}
}

// scratchPad is cache-scratch where a block that main has allocated is freed
// first, and cache-thrash where not: threads that write to a byte each.
func scratchPad(threads int, handed bool) func(scene) plan {
	const writes = 2_000_000
	return func(s scene) plan {
		first := make([][]byte, threads)
		var once sync.Once
		workers := make([]worker, threads)
		for i := range workers {
			sum := apart(0)
			workers[i].step = func() int {
				if first[i] != nil {
					s.free(first[i])
					first[i] = nil
				}
				*sum += s.scribble(writes / threads)
				return 1
			}
			if handed {
				workers[i].finish = func() { s.drain(first[i : i+1]) } // if it had no step
				workers[i].prepare = func() {
					once.Do(func() {
						for j := range first {
							first[j] = s.alloc(1)
						}
					})
				}
			}
		}
		return plan{workers: workers}
	}
}

// pareto is the choice of slots of alloc-test: seven stages of 80/20.
type pareto struct {
	limits [7]uint32 // of the upper half of a draw, ascending
	starts [7]uint64
	widths [7]uint64
}

func newPareto(slots int) *pareto {
	chances := [7]float64{0.262144, 0.393216, 0.24576, 0.08192, 0.01536, 0.001536, 0.000064}
	shares := [6]float64{0.000064, 0.001536, 0.01536, 0.08192, 0.24576, 0.393216}
	p := &pareto{}
	sum, start := 0.0, uint64(0)
	for i, chance := range chances {
		sum += chance
		p.limits[i] = uint32(sum * (1<<32 - 1))
		p.starts[i] = start
		if i < len(shares) {
			p.widths[i] = max(1, uint64(shares[i]*float64(slots)))
		} else {
			p.widths[i] = uint64(slots) - start
		}
		start += p.widths[i]
	}
	p.limits[6] = 1<<32 - 1
	return p
}

func (p *pareto) index(draw uint64) int {
	high, i := uint32(draw>>32), 0
	for high > p.limits[i] {
		i++
	}
	return int(p.starts[i] + draw&(1<<32-1)*p.widths[i]>>32)
}

func allocTest(threads int) func(scene) plan {
	return func(s scene) plan {
		to := newPareto(262144 / threads)
		workers := make([]worker, threads)
		for i := range workers {
			random := newRandom(s.seed, i)
			slots := make([][]byte, 262144/threads)
			sum := apart(uint64(0))
			workers[i] = worker{
				prepare: func() {
					for j := range slots {
						if random.next()&(1<<40) != 0 {
							slots[j] = s.alloc(geometricSize(random.next()))
							writeIndices(slots[j])
						}
					}
				},
				step: func() int {
					*sum += s.visit(slots, to, random, 2*stride)
					return stride
				},
				finish: func() { s.drain(slots) },
			}
		}
		return plan{workers: workers}
	}
}

const (
	stressCookie    = 0xbf58476d1ce4e5b9
	stressTransfers = 1000
	stressAllocs    = 5000
)

// stress is mstress: threads that exchange blocks through global slots.
type stress struct{ transfers [stressTransfers]transfer }

// transfer is a slot whose block is exchanged in one step. A slice has three
// words, so a bit that one takes and gives back stands for the one instruction
// of the original.
type transfer struct {
	taken atomic.Bool
	block []byte // owned by who has taken it
}

func (t *transfer) swap(b []byte) []byte {
	for !t.taken.CompareAndSwap(false, true) {
		runtime.Gosched()
	}
	old := t.block
	t.block = b
	t.taken.Store(false)
	return old
}

type stressThread struct {
	random         *random
	data, retained [][]byte
}

// words draws the length of an item: a power of two below 2^exponents, and
// once in a while a hundred to ten thousand times as many.
func (t *stressThread) words(exponents int) int {
	n := 1 << t.random.below(exponents)
	if t.random.chance(2) {
		switch {
		case t.random.chance(2):
			n *= 10000
		case t.random.chance(11):
			n *= 1000
		default:
			n *= 100
		}
	}
	if n == 40 {
		n = 41
	}
	return n
}

// mstress has one worker: its step is a round, for which it starts the second
// thread anew.
func mstress(s scene) plan {
	shared := &stress{}
	first := apart(stressThread{random: newRandom(s.seed, 0)})
	second := apart(stressThread{random: newRandom(s.seed, 1)})
	between := newRandom(s.seed, 2)
	var wrong atomic.Int64
	step := func() int {
		var other sync.WaitGroup
		others := 0
		other.Go(func() {
			items, bad := s.stressRound(shared, second, 2*stressAllocs)
			others = items
			wrong.Add(int64(bad))
		})
		items, bad := s.stressRound(shared, first, stressAllocs)
		other.Wait()
		wrong.Add(int64(bad))
		for i := range shared.transfers {
			if between.chance(50) {
				wrong.Add(int64(s.stressFree(shared.transfers[i].swap(nil))))
			}
		}
		return items + others
	}
	finish := func() {
		for i := range shared.transfers {
			wrong.Add(int64(s.stressFree(shared.transfers[i].swap(nil))))
		}
	}
	return plan{workers: []worker{{step: step, finish: finish}}, damage: &wrong}
}

const (
	rpThreads, rpSlots          = 2, 1000
	rpFreeStride, rpAllocStride = 11, 7
	rpSizes                     = 2000
)

// rpThread is a thread of rptest.
type rpThread struct {
	slots           [][]byte
	freeAt, allocAt int
	loop            int
	sizes           []int32
	counts          []int32 // 33 to 98
	sizeAt, countAt int
	partner         *rpThread
	spare           *rpList
	_               [apartBytes]byte
	inbox           atomic.Pointer[rpList] // the partner writes it
}

// rpList is a list of blocks on its way to another thread.
type rpList struct {
	next   *rpList
	blocks [][]byte
}

func (t *rpThread) size() int {
	t.sizeAt = (t.sizeAt + 1) % len(t.sizes)
	return int(t.sizes[t.sizeAt])
}

func (t *rpThread) count() int {
	t.countAt = (t.countAt + 1) % len(t.counts)
	return int(t.counts[t.countAt])
}

// keep and take recycle the lists, which are the harness's memory.
func (t *rpThread) keep(list *rpList) {
	clear(list.blocks)
	list.blocks, list.next = list.blocks[:0], t.spare
	t.spare = list
}

func (t *rpThread) take() *rpList {
	if t.spare == nil {
		return &rpList{blocks: make([][]byte, 0, 100)}
	}
	list := t.spare
	t.spare, list.next = list.next, nil
	return list
}

func (t *rpThread) send(list *rpList) {
	for {
		list.next = t.partner.inbox.Load()
		if t.partner.inbox.CompareAndSwap(list.next, list) {
			return
		}
	}
}

func rptest(s scene) plan {
	const low, high = 8, 16000
	random := newRandom(s.seed, rpThreads)
	sizes := make([]int32, rpSizes)
	for i := range sizes {
		w := 1 - random.uniform() + (1 - random.uniform()) - 1
		sizes[i] = int32(low + random.uniform()*max(w, -w)*(high-low))
	}
	counts := make([]int32, 100)
	for i := range counts {
		counts[i] = int32(random.between(33, 98))
	}
	threads := make([]*rpThread, rpThreads)
	for i := range threads {
		threads[i] = apart(rpThread{slots: make([][]byte, rpSlots), sizes: sizes, counts: counts,
			sizeAt: i * rpSizes / rpThreads, countAt: i * len(counts) / rpThreads})
	}
	workers := make([]worker, rpThreads)
	for i, t := range threads {
		t.partner = threads[(i+1)%rpThreads]
		workers[i] = worker{step: func() int { return s.rpLoop(t) }, finish: func() {
			s.drain(t.slots)
			for list := t.inbox.Load(); list != nil; list = list.next {
				s.drain(list.blocks)
			}
		}}
	}
	return plan{workers: workers}
}
