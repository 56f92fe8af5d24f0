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
	}
	for _, block := range blocks {
		a.Free(block)
	}
}

type mark struct{ worker, serial uint64 }

func (w *worker) markOf(block []byte) mark { return *(*mark)(unsafe.Pointer(&block[0])) }

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

// TestProgressUnderSignals sends each of some threads signals while they allocate:
// every thread must complete its operations, however long that takes. A thread whose
// sections never end would be stuck.
func TestProgressUnderSignals(t *testing.T) {
	const operations, signals, enoughAborts = 100_000, 200, 10
	for _, signal := range []unix.Signal{unix.SIGPROF, unix.SIGURG} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			workers, stop := startWorkers(t, 2)
			defer stop()
			before := rseqcs.ReadStats().Aborts
			var over atomic.Bool
			var senders sync.WaitGroup
			defer senders.Wait()
			defer over.Store(true)
			delivered := make([]atomic.Int64, len(workers))
			begun := make([]int64, len(workers))
			for i, w := range workers {
				begun[i] = w.ops.Load()
				senders.Go(func() {
					for !over.Load() && !t.Failed() {
						if err := stress.Deliver(w.tid, signal); err != nil {
							t.Error(err)
						}
						delivered[i].Add(1)
					}
				})
			}
			aborts := func() uint64 { return rseqcs.ReadStats().Aborts - before }
			stress.Until(t, func() error {
				for i, w := range workers {
					if ops, n := w.ops.Load()-begun[i], delivered[i].Load(); !t.Failed() && (ops < operations || n < signals) {
						return fmt.Errorf("worker %d: %d operations of %d, %d signals of %d", i, ops, operations, n, signals)
					}
				}
				if n := aborts(); n < enoughAborts && vcpu.Probe().Mode != vcpu.Assigned {
					return fmt.Errorf("%d aborted sections of %d", n, enoughAborts)
				}
				return nil
			})
			for i, w := range workers {
				t.Logf("worker %d: %d operations, %d signals", i, w.ops.Load()-begun[i], delivered[i].Load())
			}
			t.Logf("%d aborts", aborts())
		})
	}
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
		workers, stop := startWorkers(t, 4)
		untilAllWork(t, workers)
		stop()
		return
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	workers, stop := startWorkers(t, 4)
	untilAllWork(t, workers)
	const children = 5
	for range children {
		child := exec.Command(path, "-test.run=^TestExecUnderLoad$", "-test.count=1")
		child.Env = append(os.Environ(), childVariable+"="+vcpu.Probe().Mode.String())
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
			break
		}
	}
	stop()
}

// untilAllWork waits until each worker has completed operations.
func untilAllWork(t *testing.T, workers []*worker) {
	t.Helper()
	stress.Until(t, func() error {
		for _, w := range workers {
			if w.ops.Load() == 0 {
				return fmt.Errorf("worker %d has not run", w.number)
			}
		}
		return nil
	})
}
