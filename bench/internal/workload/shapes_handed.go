package workload

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// The shapes whose blocks are freed by another goroutine than the one that
// allocated them.

// ring hands blocks of ringSize bytes from one producer to one consumer. A slot
// that is nil is free. The producer owns head and the consumer tail.
type ring struct {
	slots [ringSlots]atomic.Pointer[byte]
	_     [apartBytes]byte
	head  int
	_     [apartBytes]byte
	tail  int
}

func ringed(s scene) plan {
	between := &ring{}
	return plan{workers: []worker{
		{step: func() int {
			s.produce(between, s.stop, stride)
			return 0
		}},
		{
			step: func() int { return s.consume(between, s.stop, stride) },
			finish: func() {
				for i := range between.slots {
					if first := between.slots[i].Load(); first != nil {
						s.free(sliceOf(first, ringSize))
					}
				}
			},
		},
	}}
}

// sliceOf is a block of n bytes that was handed over by the address of its
// first. Blocks that are so have lengths that every peer has a size class for,
// so that the capacity is right too.
func sliceOf(first *byte, n int) []byte { return unsafe.Slice(first, n) }

var xmallocSizes = []int{8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048}

// shelf is xmalloc-test's list of batches: last in, first out, at most full
// of them.
type shelf struct {
	mutex             sync.Mutex
	notFull, notEmpty sync.Cond // on mutex
	batches           []*xmallocBatch
}

// xmallocBatch is what a producer hands over: the block that stands for the
// batch's own memory, and the blocks.
type xmallocBatch struct {
	record []byte
	blocks [xmallocBlocks][]byte
}

const (
	xmallocBlocks  = 4096
	xmallocRecord  = 32776 // bytes: a next pointer and 4096 more
	xmallocFull    = 100   // batches
	xmallocTouched = 128   // bytes
)

// put waits until there is room; it returns false when stop is set before.
func (l *shelf) put(b *xmallocBatch, stop *atomic.Bool) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for len(l.batches) >= xmallocFull {
		if stop.Load() {
			return false
		}
		l.notFull.Wait()
	}
	l.batches = append(l.batches, b)
	l.notEmpty.Signal()
	return true
}

// take waits until there is a batch; it returns nil when stop is set before.
func (l *shelf) take(stop *atomic.Bool) *xmallocBatch {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for len(l.batches) == 0 {
		if stop.Load() {
			return nil
		}
		l.notEmpty.Wait()
	}
	last := len(l.batches) - 1
	b := l.batches[last]
	l.batches = l.batches[:last]
	l.notFull.Signal()
	return b
}

func xmalloc(sizes []int) func(scene) plan {
	return func(s scene) plan {
		list := &shelf{}
		list.notFull.L, list.notEmpty.L = &list.mutex, &list.mutex
		// The slices that hold the blocks are the harness's: they go round
		// without the garbage collector.
		spare := make(chan *xmallocBatch, 2*xmallocFull)
		release := func(b *xmallocBatch) {
			s.drain(b.blocks[:])
			s.free(b.record)
			spare <- b
		}
		workers := []worker{}
		for i := range 2 {
			random := newRandom(s.seed, i)
			workers = append(workers, worker{step: func() int {
				var b *xmallocBatch
				select {
				case b = <-spare:
				default:
					b = &xmallocBatch{}
				}
				b.record = s.alloc(xmallocRecord)
				s.touch(b.blocks[:], random, sizes, xmallocTouched)
				if !list.put(b, s.stop) {
					release(b)
				}
				return 0
			}}, worker{step: func() int {
				b := list.take(s.stop)
				if b == nil {
					return 0
				}
				release(b)
				return xmallocBlocks
			}})
		}
		workers[0].finish = func() {
			for _, b := range list.batches {
				release(b)
			}
		}
		wake := func() {
			list.mutex.Lock()
			defer list.mutex.Unlock()
			list.notFull.Broadcast()
			list.notEmpty.Broadcast()
		}
		return plan{workers: workers, wake: wake}
	}
}
