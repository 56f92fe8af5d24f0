package workload

import (
	"sync"
	"time"
)

// The shapes about memory that comes back and limits that hold.

// looks are what was resident at some times, in bytes more than at the first look.
type looks struct {
	start int64
	found map[string]float64
}

func newLooks() *looks {
	start, _ := residentBytes()
	return &looks{start: start, found: map[string]float64{}}
}

func (l *looks) look(name string) {
	now, _ := residentBytes()
	l.found[name] = float64(now - l.start)
}

// shortened is a wait of the shape's own, less where the measured time is less.
func (s scene) shortened(wait time.Duration) time.Duration {
	return time.Duration(float64(wait) * min(1, s.time.Seconds()/s.own.Seconds()))
}

// fragmentation fills memory, frees nine tenths of it at random, and looks at
// what stays resident. Its one step is its work; the volume is that of the
// measured time.
func fragmentation(s scene) plan {
	const volume, low, high, kept, pairs = 1 << 30, 16, 2048, 10, 1000
	total := s.portion(volume, s.time)
	// Ours looks at what is left of spans each second, and returns what it finds at the
	// second look.
	first, wait := s.shortened(3*time.Second), s.shortened(2*time.Second)
	slots := make([][]byte, total/((low+high)/2)*9/8+64)
	clear(slots)
	random := newRandom(s.seed, 0)
	figures := newLooks()
	used := 0
	step := func() int {
		for bytes := 0; bytes < total && used < len(slots); used++ {
			size := random.between(low, high)
			s.writeWhole(slots, used, size)
			bytes += size
		}
		live := 0
		for i := range used {
			if random.below(kept) != 0 {
				s.free(slots[i])
				slots[i] = nil
			} else {
				live += len(slots[i])
			}
		}
		figures.found["live_bytes"] = float64(live)
		figures.look("after_free_bytes")
		return used
	}
	return plan{workers: []worker{{step: step, quota: 1}}, fixed: true, cold: true, figures: func() map[string]float64 {
		time.Sleep(first)
		figures.look("after_wait_bytes")
		s.pair(64, pairs)
		figures.look("after_pairs_bytes")
		s.drain(slots[:used])
		time.Sleep(wait)
		s.pair(64, pairs)
		figures.look("all_freed_bytes")
		return figures.found
	}}
}

// burst has many goroutines fill memory at the same time, free it and end, beside
// blocks that stay. Its one step is its work; the volume is that of the measured time.
func burst(s scene) plan {
	const goroutines, low, high = 1000, 16, 2048
	staying, each := s.portion(48<<20, s.time), s.portion(128<<10, s.time)
	wait := s.shortened(5 * time.Second)
	figures := newLooks()
	take := func(bytes, stream int) [][]byte {
		random := newRandom(s.seed, stream)
		slots := make([][]byte, 0, bytes/((low+high)/2)*5/4+16)
		for ; bytes > 0 && len(slots) < cap(slots); bytes -= len(slots[len(slots)-1]) {
			slots = append(slots, nil)
			s.writeWhole(slots, len(slots)-1, random.between(low, high))
		}
		return slots
	}
	var stay [][]byte
	step := func() int {
		var filled, ended sync.WaitGroup
		filled.Add(goroutines)
		counts := make([]int, goroutines)
		figures.look("before_burst_bytes")
		for i := range goroutines {
			ended.Go(func() {
				blocks := take(each, i+1)
				counts[i] = len(blocks)
				filled.Done()
				filled.Wait()
				s.drain(blocks)
			})
		}
		filled.Wait()
		figures.look("in_burst_bytes")
		ended.Wait()
		sum := 0
		for _, count := range counts {
			sum += count
		}
		return sum
	}
	return plan{fixed: true, cold: true,
		workers: []worker{{quota: 1, step: step, prepare: func() { stay = take(staying, 0) }, finish: func() { s.drain(stay) }}},
		figures: func() map[string]float64 {
			time.Sleep(wait)
			figures.look("after_burst_bytes")
			return figures.found
		}}
}

// glutton holds blocks in a ring, the oldest first to go.
//
// Invariant: slots from head-count to head, modulo their number, hold blocks.
type glutton struct {
	slots        [gluttonSlots][]byte
	head, count  int
	held, wanted int // bytes
	refused      int64
	random       *random
}

const (
	gluttonSlots = 1 << 14
	gluttonWants = 16 << 20 // bytes
)

// size draws from 16 B to 32 KiB, each power of two as likely as the others.
func (g *glutton) size() int { return 16 + g.random.below(16<<g.random.below(12)) }

func gluttons(s scene) plan {
	const goroutines = 64
	eager := s.loops.(boundLoops)
	workers, all := make([]worker, goroutines), make([]*glutton, goroutines)
	for i := range workers {
		g := apart(glutton{wanted: gluttonWants, random: newRandom(s.seed, i)})
		all[i] = g
		workers[i] = worker{
			step:   func() int { return eager.feast(g, stride) },
			finish: func() { eager.forgo(g, g.count) },
		}
	}
	return plan{workers: workers,
		figures: func() map[string]float64 {
			refused := int64(0)
			for _, g := range all {
				refused += g.refused
			}
			return map[string]float64{"refused_count": float64(refused)}
		}}
}
