package workload

import (
	"runtime"
	"sync"
)

// The shapes whose blocks are freed by the goroutine that allocated them.

func pairs(goroutines, size int) func(scene) plan {
	return func(s scene) plan {
		step := func() int {
			s.pair(size, stride)
			return stride
		}
		return plan{workers: repeat(worker{step: step}, goroutines)}
	}
}

func repeat(w worker, count int) []worker {
	workers := make([]worker, count)
	for i := range workers {
		workers[i] = w
	}
	return workers
}

// crowd is pairs for many goroutines, each of which does some and lets the next
// one run.
func crowd(goroutines, size int) func(scene) plan {
	return func(s scene) plan {
		step := func() int {
			s.pair(size, crowdPairs)
			runtime.Gosched()
			return crowdPairs
		}
		return plan{workers: repeat(worker{step: step}, goroutines)}
	}
}

func zeroedPairs(size int) func(scene) plan {
	return func(s scene) plan {
		l := s.full()
		step := func() int {
			l.zeroedPair(size, stride)
			return stride
		}
		return plan{workers: []worker{{step: step}}}
	}
}

// growths takes one whole growth as the operation.
func growths(whole bool) func(scene) plan {
	return func(s scene) plan {
		l := s.full()
		step := func() int {
			l.growth(16, 1<<20, whole)
			return 1
		}
		return plan{workers: []worker{{step: step}}}
	}
}

func batches(batch func(l loops, slots [][]byte)) func(scene) plan {
	return func(s scene) plan {
		slots := make([][]byte, 1000)
		step := func() int {
			batch(s.loops, slots)
			return len(slots)
		}
		return plan{workers: []worker{{step: step}}}
	}
}

func batchCalls(s scene) plan {
	const some = 64
	slots := make([][]byte, 15*some)
	step := func() int {
		s.batchFIFO(slots, 64)
		return len(slots)
	}
	if many, ok := s.loops.(manyLoops); ok {
		step = func() int {
			many.batchMany(slots, 64, some)
			return len(slots)
		}
	}
	return plan{workers: []worker{{step: step}}}
}

func drops(s scene) plan {
	slots := make([][]byte, 1000)
	step := func() int {
		s.batchFIFO(slots, 64)
		return len(slots)
	}
	if dropping, ok := s.loops.(droppingLoops); ok {
		step = func() int {
			dropping.scratch(len(slots), 64)
			return len(slots)
		}
	}
	return plan{workers: []worker{{step: step}}}
}

func live(goroutines, blocks int) func(scene) plan {
	const low, high = 16, 1024
	return func(s scene) plan {
		workers := make([]worker, goroutines)
		for i := range workers {
			random := newRandom(s.seed, i)
			slots := make([][]byte, blocks)
			workers[i] = worker{
				prepare: func() { s.fill(slots, random, low, high) },
				step: func() int {
					s.replace(slots, random, low, high, stride)
					return stride
				},
				finish: func() { s.drain(slots) },
			}
		}
		return plan{workers: workers}
	}
}

// glibcThread follows glibc's bench-malloc-thread: all goroutines walk the same
// tables from the same start.
func glibcThread(s scene) plan {
	const slotCount = 1024
	random := newRandom(s.seed, 0)
	sizes := make([]int32, 8000)
	for i := range sizes {
		sizes[i] = inverseSquare(random, 4, 32<<10)
	}
	places := make([]int16, 4096)
	for i := range places {
		places[i] = int16(random.below(slotCount))
	}
	workers := make([]worker, s.cpus)
	for i := range workers {
		slots := make([][]byte, slotCount)
		at := apart(walk{sizes: sizes, places: places, size: 1, place: 1})
		workers[i] = worker{
			step: func() int {
				s.cycle(slots, at, stride)
				return stride
			},
			finish: func() { s.drain(slots) },
		}
	}
	return plan{workers: workers}
}

// inverseSquare draws a size whose probability falls with its square: most are
// next to the lowest.
func inverseSquare(r *random, low, high float64) int32 {
	return int32(1 / ((1/high-1/low)*r.uniform() + 1/low))
}

// larson has two streams of goroutines, each with slots of its own that were
// filled and shuffled by one goroutine. After 500 000 steps a goroutine
// leaves its slots to a fresh one.
func larson(s scene) plan {
	const (
		streams, each = 2, 5000
		low, high     = 8, 999
		churn         = 40000
		heirs         = 500_000 / stride
	)
	slots := make([][]byte, streams*each)
	var once sync.Once
	start := func() {
		random := newRandom(s.seed, streams)
		s.fill(slots, random, low, high)
		for i := len(slots) - 1; i > 0; i-- {
			j := random.below(i + 1)
			slots[i], slots[j] = slots[j], slots[i]
		}
		s.replace(slots, random, low, high, churn)
	}
	workers := make([]worker, streams)
	for i := range workers {
		random := newRandom(s.seed, i)
		own := slots[i*each : (i+1)*each]
		sum := apart(0)
		workers[i] = worker{
			prepare: func() { once.Do(start) },
			step: func() int {
				*sum += s.exchange(own, random, low, high, stride)
				return stride
			},
			finish: func() { s.drain(own) },
			heirs:  heirs,
		}
	}
	return plan{workers: workers}
}
