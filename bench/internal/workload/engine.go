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
}

// plan is a shape made ready for one run.
type plan struct {
	workers []worker
	wake    func() // optional; lets workers that wait see that stop is set
}

// scene is what a shape builds its plan from.
type scene struct {
	loops
	seed uint64
	cpus int          // GOMAXPROCS
	stop *atomic.Bool // set when the time is over
}

// perform runs the plan: prepare, warm up, measure, finish. The meter is read
// right before and right after the measured time.
func (p *plan) perform(stop *atomic.Bool, warm, measured time.Duration, m *meter) (operations int64, elapsed time.Duration) {
	var ready sync.WaitGroup
	for _, w := range p.workers {
		if w.prepare != nil {
			ready.Go(w.prepare)
		}
	}
	ready.Wait()
	p.timed(stop, warm)
	m.start()
	operations, elapsed = p.timed(stop, measured)
	m.stop()
	for _, w := range p.workers {
		if w.finish != nil {
			w.finish()
		}
	}
	return operations, elapsed
}

// timed lets all workers go at once and stops them after the given time. It
// returns the operations of all, and the time until the last of them stopped.
func (p *plan) timed(stop *atomic.Bool, length time.Duration) (int64, time.Duration) {
	var total atomic.Int64
	var running sync.WaitGroup
	gate := make(chan struct{})
	stop.Store(false)
	running.Add(len(p.workers))
	for i := range p.workers {
		go func() {
			<-gate
			p.workers[i].work(stop, &total, &running)
		}()
	}
	begin := time.Now()
	timer := time.AfterFunc(length, func() {
		stop.Store(true)
		if p.wake != nil {
			p.wake()
		}
	})
	defer timer.Stop()
	close(gate)
	running.Wait()
	return total.Load(), time.Since(begin)
}

func (w *worker) work(stop *atomic.Bool, total *atomic.Int64, running *sync.WaitGroup) {
	operations := 0
	for steps := 1; !stop.Load(); steps++ {
		operations += w.step()
		if steps == w.heirs {
			total.Add(int64(operations))
			go w.work(stop, total, running)
			return
		}
	}
	total.Add(int64(operations))
	running.Done()
}
