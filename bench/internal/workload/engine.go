package workload

import (
	"sync"
	"sync/atomic"
	"time"
)

// worker is one goroutine's part of a shape.
type worker struct {
	prepare func()     // optional; before the warm-up, at the same time as the others
	step    func() int // at least stride operations; returns how many count
	finish  func()     // optional; gives back what is still held; one after the other

	// heirs, if not 0, is after how many steps the goroutine starts another
	// that goes on, and exits.
	heirs int

	// quota is how many steps there are in the shape's own time where the work
	// is fixed.
	quota int
}

// plan is a shape made ready for one run.
type plan struct {
	workers []worker
	wake    func() // optional; lets workers that wait see that stop is set

	// fixed says that workers stop at their quota and not when the time is
	// over: another time makes as much more or less work of it. It is for
	// shapes whose memory grows with the work done.
	fixed bool

	cold  bool // no warm-up: the work is done once
	leaks bool // not all blocks are freed

	begin   func()                    // optional; right before the measured time
	damage  *atomic.Int64             // optional; bytes or words found changed
	figures func() map[string]float64 // optional; after the measured time
}

// damaged is how much was found changed in blocks in use.
func (p *plan) damaged() int64 {
	if p.damage == nil {
		return 0
	}
	return p.damage.Load()
}

// scene is what a shape builds its plan from.
type scene struct {
	loops
	seed       uint64
	cpus       int          // GOMAXPROCS
	stop       *atomic.Bool // set when the time is over
	warm, time time.Duration
	own        time.Duration // the shape's own time, which quotas are for
	offHeap    bool          // blocks are not of the Go heap
}

// full are the loops of a heap that can clear and grow; serves sees to it that
// no other peer gets a shape that needs them.
func (s scene) full() fullLoops { return s.loops.(fullLoops) }

// portion is the part of a quota that is done in length, and at least 1.
func (s scene) portion(quota int, length time.Duration) int {
	return max(1, int(float64(quota)*length.Seconds()/s.own.Seconds()))
}

// total is what is done of a quota in the warm-up and in the measured time.
func (s scene) total(quota int) int { return s.portion(quota, s.warm) + s.portion(quota, s.time) }

// perform runs the plan: prepare, warm up, measure, finish. The meter is read
// right before and right after the measured time.
func (p *plan) perform(s scene, m *meter) (operations int64, elapsed time.Duration) {
	var ready sync.WaitGroup
	for _, w := range p.workers {
		if w.prepare != nil {
			ready.Go(w.prepare)
		}
	}
	ready.Wait()
	if !p.cold {
		p.timed(s, s.warm)
	}
	if p.begin != nil {
		p.begin()
	}
	m.start()
	operations, elapsed = p.timed(s, s.time)
	m.stop()
	if p.figures != nil {
		m.figures = p.figures()
	}
	for _, w := range p.workers {
		if w.finish != nil {
			w.finish()
		}
	}
	return operations, elapsed
}

// timed lets all workers go at once and stops them after the given time, or
// waits until they have done their quotas. It returns the operations of all,
// and the time until the last of them stopped.
func (p *plan) timed(s scene, length time.Duration) (int64, time.Duration) {
	var total atomic.Int64
	var running sync.WaitGroup
	gate := make(chan struct{})
	s.stop.Store(false)
	running.Add(len(p.workers))
	for i := range p.workers {
		w := &p.workers[i]
		steps := -1
		if p.fixed {
			steps = s.portion(w.quota, length)
		}
		go func() {
			<-gate
			w.work(s.stop, steps, &total, &running)
		}()
	}
	begin := time.Now()
	if !p.fixed {
		timer := time.AfterFunc(length, func() {
			s.stop.Store(true)
			if p.wake != nil {
				p.wake()
			}
		})
		defer timer.Stop()
	}
	close(gate)
	running.Wait()
	return total.Load(), time.Since(begin)
}

// work makes steps, or goes on until stop is set where steps is negative.
func (w *worker) work(stop *atomic.Bool, steps int, total *atomic.Int64, running *sync.WaitGroup) {
	operations := 0
	for done := 1; steps != 0 && !stop.Load(); done++ {
		operations += w.step()
		steps--
		if done == w.heirs {
			total.Add(int64(operations))
			go w.work(stop, steps, total, running)
			return
		}
	}
	total.Add(int64(operations))
	running.Done()
}
