//go:build !vcpualloc_stalled

package alloc

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// worker allocates and frees on a thread of its own, and counts.
type worker struct {
	number uint64
	tid    int
	ops    atomic.Int64
	time   atomic.Int64 // that the thread ran, in nanoseconds
}

// held is how many blocks a worker has at a time.
const held = 8

// work keeps some blocks with the worker's mark, and finds it there when it frees
// them.
func (w *worker) work(t *testing.T, a *Allocator, over *atomic.Bool) {
	var blocks [held][]byte
	for serial := uint64(0); !over.Load(); {
		for range held {
			slot := &blocks[serial%held]
			if *slot != nil && w.markOf(*slot) != (mark{w.number, serial - held}) {
				t.Errorf("worker %d: block %d has the mark %v", w.number, serial-held, w.markOf(*slot))
				return
			}
			a.Free(*slot)
			block, err := a.AllocUninit(48)
			if err != nil {
				t.Error(err)
				return
			}
			*slot = block
			*(*mark)(unsafe.Pointer(&block[0])) = mark{w.number, serial}
			serial++
		}
		w.ops.Add(held)
		w.time.Store(threadTime())
	}
	for _, block := range blocks {
		a.Free(block)
	}
}

type mark struct{ worker, serial uint64 }

func (w *worker) markOf(block []byte) mark { return *(*mark)(unsafe.Pointer(&block[0])) }

// threadTime returns how long the running thread has run, in nanoseconds.
func threadTime() int64 {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &use); err != nil {
		return 0
	}
	return use.Utime.Nano() + use.Stime.Nano()
}

// startWorkers returns workers that work until stop, on an allocator that has
// nothing in use afterwards.
func startWorkers(t *testing.T, count int) (workers []*worker, stop func()) {
	a, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	var all, ready sync.WaitGroup
	for number := range count {
		w := &worker{number: uint64(number)}
		workers = append(workers, w)
		ready.Add(1)
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			w.tid = unix.Gettid()
			w.time.Store(threadTime()) // the thread may have run before
			ready.Done()
			w.work(t, a, &over)
		})
	}
	ready.Wait()
	return workers, func() {
		over.Store(true)
		all.Wait()
		if live := a.Stats().Live; live != 0 && !t.Failed() {
			t.Errorf("%d bytes are in use, and all was freed", live)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestProgressUnderSignals measures how fast threads allocate while each is sent
// as many signals as it can take, and in quiet times between. It is measured
// against the time that the threads run, which others do not shorten.
func TestProgressUnderSignals(t *testing.T) {
	runtime.LockOSThread()
	cost, err := stress.SignalCost()
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
	often := max(50*time.Microsecond, 5*cost)
	for _, storm := range []struct {
		name string
		stress.Signals
	}{
		{"SIGPROF as often as the profiler's clock ticks", stress.Signals{Signal: unix.SIGPROF, Every: time.Microsecond, OwnTime: true}},
		{"SIGPROF", stress.Signals{Signal: unix.SIGPROF, Every: often}},
		{"SIGURG", stress.Signals{Signal: unix.SIGURG, Every: often}},
	} {
		t.Run(storm.name, func(t *testing.T) {
			workers, stop := startWorkers(t, 2)
			defer stop()
			aborts := rseqcs.ReadStats().Aborts
			quiet, stormy := make([]pace, len(workers)), make([]pace, len(workers))
			for end := time.Now().Add(10 * time.Second); !enough(quiet) || !enough(stormy); {
				measure(workers, quiet)
				withSignals(t, workers, storm.Signals, func() { measure(workers, stormy) })
				if time.Now().After(end) {
					t.Fatalf("the workers have hardly run: quiet %v, with signals %v", quiet, stormy)
				}
			}
			aborts = rseqcs.ReadStats().Aborts - aborts
			t.Logf("a signal takes %v; %d aborts; quiet %v, with signals %v", cost, aborts, quiet, stormy)
			for i := range workers {
				if stormy[i].perSecond() < quiet[i].perSecond()/10 {
					t.Errorf("worker %d: %v with signals, %v without: less than a tenth", i, stormy[i], quiet[i])
				}
			}
			if often := !storm.OwnTime; often && aborts == 0 && vcpu.Probe().Mode != vcpu.Assigned {
				t.Error("no section was aborted: this run has shown nothing")
			}
		})
	}
}

// withSignals calls body while the workers are sent signals.
func withSignals(t *testing.T, workers []*worker, s stress.Signals, body func()) {
	for _, w := range workers {
		stop, err := s.To(w.tid)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	body()
}

// pace is what a worker has done in how much time of its own.
type pace struct {
	ops  int64
	took time.Duration
}

func (p pace) perSecond() float64 { return float64(p.ops) / p.took.Seconds() }

func (p pace) String() string { return fmt.Sprintf("%.2g ops/s for %v", p.perSecond(), p.took) }

// enough reports whether all have run for long enough to be compared.
func enough(paces []pace) bool {
	for _, p := range paces {
		if p.took < 50*time.Millisecond {
			return false
		}
	}
	return true
}

// measure adds what the workers do in a moment.
func measure(workers []*worker, to []pace) {
	add := func(sign int64) {
		for i, w := range workers {
			to[i].took += time.Duration(sign * w.time.Load())
			to[i].ops += sign * w.ops.Load()
		}
	}
	add(-1)
	time.Sleep(40 * time.Millisecond)
	add(1)
}

// childVariable tells TestExecUnderLoad that it runs in the child, which is to
// have the mode that it holds.
const childVariable = "VCPUALLOC_TEST_CHILD"

// TestExecUnderLoad starts programs while threads allocate. exec ends the
// registrations of the old program, so the child must find its own.
func TestExecUnderLoad(t *testing.T) {
	if mode := os.Getenv(childVariable); mode != "" {
		if got := vcpu.Probe(); got.Mode.String() != mode {
			t.Errorf("mode %v (%s), the parent's is %s", got.Mode, got.Reason, mode)
		}
		_, stop := startWorkers(t, 4)
		time.Sleep(time.Millisecond)
		stop()
		return
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	workers, stop := startWorkers(t, 4)
	const children = 12
	for n, end := 0, time.Now().Add(2*time.Second); n < children && (n == 0 || time.Now().Before(end)); n++ {
		child := exec.Command(path, "-test.run=^TestExecUnderLoad$", "-test.count=1")
		child.Env = append(os.Environ(), childVariable+"="+vcpu.Probe().Mode.String())
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
			break
		}
	}
	stop()
	for _, w := range workers {
		if w.ops.Load() == 0 {
			t.Errorf("worker %d has not run", w.number)
		}
	}
}
