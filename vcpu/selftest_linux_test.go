//go:build amd64 || arm64

package vcpu

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// usableGround returns the ground of this process with its sections described.
func usableGround(t *testing.T) *rseq.Ground {
	t.Helper()
	Probe()
	g := rseq.Find()
	if g.Owner == rseq.None {
		t.Skipf("no section can run in this process: %s", g.Reason)
	}
	var err error
	stress.Until(t, func() error {
		if err = soundHere(); wasStarved(err) {
			return err
		}
		return nil
	})
	if err != nil {
		if stress.SectionsAreIgnored() && strings.Contains(err.Error(), "sections are not aborted") {
			t.Skipf("this kernel is broken: %v", err)
		}
		t.Fatal(err)
	}
	return g
}

// sound is whether soundHere has passed.
var sound bool

// soundHere tests the kernel whatever the mode is.
func soundHere() error {
	if sound {
		return nil
	}
	err := selfTest(rseq.Find())
	sound = err == nil
	return err
}

// wasStarved reports whether a self-test gave up since the machine was too busy: the
// product then takes the assigned tier, and a test tries again.
func wasStarved(err error) bool {
	return err != nil && strings.Contains(err.Error(), "its thread was interrupted ")
}

// testUntilRun tests the sections on a machine that may be busy.
func testUntilRun(t *testing.T, g *rseq.Ground) (r testResult) {
	t.Helper()
	stress.Until(t, func() error {
		if r = testSections(g); wasStarved(r.err) {
			return r.err
		}
		return nil
	})
	return r
}

// breakSections describes every section as lying where another one lies, which
// is well-formed, so that the kernel finds no thread inside of one and aborts
// nothing: what the broken kernels do. The test's end mends it.
func breakSections(t *testing.T, g *rseq.Ground) {
	t.Helper()
	d := sectionDescriptors()
	d[0], d[1] = d[1], d[0]
	t.Cleanup(func() {
		if err := describeSections(g); err != nil {
			t.Error(err)
		}
	})
}

func TestVerdict(t *testing.T) {
	cause := errors.New("no CPU to pin to")
	for _, row := range []struct {
		name   string
		result testResult
		parts  []string
	}{
		{"sound", testResult{aborts: enoughAborts}, nil},
		{"more than enough", testResult{aborts: 10 * enoughAborts}, nil},
		{"one abort short", testResult{aborts: enoughAborts - 1}, []string{"sections are not aborted", "15 of 16 aborts"}},
		{"nothing happened", testResult{}, []string{"sections are not aborted", "0 of 16 aborts"}},
		{"one violation", testResult{aborts: enoughAborts, violations: 1}, []string{"sections are not aborted", "1 violations and 16 aborts"}},
		{"could not run", testResult{aborts: enoughAborts, err: cause}, []string{"could not run", "no CPU to pin to"}},
		{"could not run, violated", testResult{violations: 1, err: cause}, []string{"could not run"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.result.verdict()
			if (err == nil) != (row.parts == nil) {
				t.Fatalf("%+v gives %v", row.result, err)
			}
			if row.result.err != nil && !errors.Is(err, cause) {
				t.Errorf("%v does not wrap its cause", err)
			}
			if err != nil {
				checkParts(t, err.Error(), row.parts)
			}
		})
	}
}

// TestSelfTestPasses repeats the self-test on a kernel that has passed it.
func TestSelfTestPasses(t *testing.T) {
	g := usableGround(t)
	for range 5 {
		r := testUntilRun(t, g)
		if err := r.verdict(); err != nil {
			t.Errorf("%v (%+v)", err, r)
		}
		t.Logf("%d aborts", r.aborts)
	}
}

// TestSelfTestSeesABrokenKernel takes the sections' descriptions away.
func TestSelfTestSeesABrokenKernel(t *testing.T) {
	g := usableGround(t)
	breakSections(t, g)
	for range 5 {
		r := testUntilRun(t, g)
		if r.err != nil {
			t.Fatal(r.err)
		}
		if r.violations == 0 || r.aborts != 0 {
			t.Errorf("%d violations and %d aborts, want violations only", r.violations, r.aborts)
		}
	}
	f := look(g, "", func(g *rseq.Ground) error { return testUntilRun(t, g).verdict() })
	if f.Mode != Assigned || !strings.Contains(f.Reason, "sections are not aborted") {
		t.Errorf("mode %v (%s), want assigned", f.Mode, f.Reason)
	}
}

// TestSelfTestWithOneP shows that the intruder gets the CPU without a P.
func TestSelfTestWithOneP(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	t.Run("sound", TestSelfTestPasses)
	t.Run("broken", TestSelfTestSeesABrokenKernel)
}

// TestHoldOutcomes runs the section by itself.
func TestHoldOutcomes(t *testing.T) {
	g := usableGround(t)
	onUsableThread(func(usable bool) {
		if !usable {
			t.Error("no thread can run sections")
			return
		}
		var cell atomic.Uint32
		through := 0
		for range 1000 {
			switch outcome := holdBriefly(g, &cell); outcome {
			case heldThrough:
				through++
				if cell.Load() != holderMark {
					t.Errorf("the section is through and the cell holds %#x", cell.Load())
				}
			case heldAborted: // by a coincidence
			default:
				t.Errorf("outcome %d where nobody else writes", outcome)
				return
			}
		}
		if through < 500 {
			t.Errorf("%d of 1000 short sections went through", through)
		}
	}, threadTries)
}

func holdBriefly(g *rseq.Ground, cell *atomic.Uint32) uint32 {
	if g.Owner == rseq.Libc {
		return holdLibc(cell, holderMark, 10)
	}
	return holdSelf(cell, holderMark, 10)
}

// TestHolderWithoutAThread is the self-test where no thread can register.
func TestHolderWithoutAThread(t *testing.T) {
	started := make(chan int, 1)
	r := holder(usableGround(t), new(atomic.Uint32), new(unix.Timespec), started, false)
	if cpu := <-started; cpu != -1 || !errors.Is(r.err, errNoArea) {
		t.Errorf("CPU %d, result %+v", cpu, r)
	}
	if err := intruder(new(atomic.Uint32), new(atomic.Uint32), new(unix.Timespec), closedAt(-1)); err != nil {
		t.Errorf("the intruder without a holder: %v", err)
	}
}

func closedAt(cpu int) <-chan int {
	c := make(chan int, 1)
	c <- cpu
	return c
}

// threadState is what the self-test changes of a thread.
type threadState struct {
	cpus  unix.CPUSet
	slice uint64 // ns; what the kernel says of it
}

func readThreadState() (s threadState) {
	if err := unix.SchedGetaffinity(0, &s.cpus); err != nil {
		panic(err)
	}
	if attributes, err := unix.SchedGetAttr(0, 0); err == nil {
		s.slice = attributes.Runtime
	}
	return s
}

// stateAtStart is from before any self-test.
var stateAtStart = readThreadState()

// TestThreadIsGivenBack: what the self-test has changed of a thread is as before.
func TestThreadIsGivenBack(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, cpu, err := pinThread(-1)
	if err != nil {
		t.Skipf("no thread can be pinned: %v", err)
	}
	restoreSlice := shortenSlice()
	if pinned := readThreadState().cpus; pinned.Count() != 1 || !pinned.IsSet(cpu) || currentCPU() != cpu {
		t.Errorf("pinned to %d, and on %d CPUs, of them %d", cpu, pinned.Count(), currentCPU())
	}
	restoreSlice()
	restore()
	if after := readThreadState(); after != stateAtStart {
		t.Errorf("%d CPUs and a slice of %d ns, at the start %d and %d",
			after.cpus.Count(), after.slice, stateAtStart.cpus.Count(), stateAtStart.slice)
	}
}

// TestCanBeInterrupted asks on threads of each policy that may be set here.
func TestCanBeInterrupted(t *testing.T) {
	for policy, want := range map[uint32]bool{unix.SCHED_NORMAL: true, unix.SCHED_BATCH: true, unix.SCHED_IDLE: true, unix.SCHED_FIFO: false, unix.SCHED_RR: false} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked: the thread ends
			attributes := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy}
			if !want {
				attributes.Priority = 1
			}
			if err := unix.SchedSetAttr(0, attributes, 0); err != nil {
				t.Logf("policy %d: %v", policy, err) // real time needs a privilege
				return
			}
			if got := canBeInterrupted(); got != want {
				t.Errorf("policy %d: %v, want %v", policy, got, want)
			}
		}()
		<-done
	}
}

// TestPinThreadRefused pins to a CPU that does not exist.
func TestPinThreadRefused(t *testing.T) {
	_, _, err := pinThread(1023)
	if Max() == 1024 {
		t.Skip("this machine has so many CPUs")
	}
	if err == nil || !strings.Contains(err.Error(), "sched_setaffinity to CPU 1023") {
		t.Errorf("pinned to CPU 1023 of %d: %v", Max(), err)
	}
	if err := intruder(new(atomic.Uint32), new(atomic.Uint32), new(unix.Timespec), closedAt(1023)); err == nil {
		t.Error("the intruder runs on CPU 1023")
	}
}

// TestFenceAbortsSections fences while a thread is inside of a section, and spoils
// its mark afterwards: no section that began before may see that. Without a fence
// some do, even where the CPU is in demand; so many that a fence without effect
// would be noticed.
func TestFenceAbortsSections(t *testing.T) {
	g := usableGround(t)
	if !rseq.HasFence() {
		t.Skip("the kernel has no fence")
	}
	if runtime.NumCPU() < 2 {
		t.Skip("one CPU: the thread that fences interrupts the section by running at all")
	}
	// Nothing takes the P from a section, and the fence needs one.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
	const enough, enoughSeen = 30, 1
	var fenced, seen int
	stress.Until(t, func() error {
		if holdSpoiled(t, g, noFence) == heldViolated {
			seen++
		}
		switch holdSpoiled(t, g, fenceTwice) {
		case heldAborted:
			fenced++
		case heldViolated:
			t.Fatal("a section goes on behind a fence")
		}
		if fenced < enough || seen < enoughSeen {
			return fmt.Errorf("%d fences of %d met a section; %d sections of %d went on without one", fenced, enough, seen, enoughSeen)
		}
		return nil
	})
	t.Logf("%d fences met a section; %d sections went on without one", fenced, seen)
}

// fenceTwice is a fence that holds on kernels that can lose the abort of one call.
func fenceTwice() error { return errors.Join(rseq.FenceOnce(), rseq.FenceOnce()) }

// noFence takes as long as a system call does.
func noFence() error {
	unix.Getppid()
	return nil
}

// holdSpoiled runs one section of about a third of a millisecond, calls fence when
// it has begun, and then writes another mark. It returns what the section has seen.
func holdSpoiled(t *testing.T, g *rseq.Ground, fence func() error) (outcome uint32) {
	const spins = 1 << 19
	var cell atomic.Uint32
	done := make(chan uint32, 1)
	go onUsableThread(func(usable bool) {
		outcome := uint32(heldNoArea)
		switch {
		case !usable:
		case g.Owner == rseq.Libc:
			outcome = holdLibc(&cell, holderMark, spins)
		default:
			outcome = holdSelf(&cell, holderMark, spins)
		}
		done <- outcome
	}, threadTries)
	// An abort may come before the mark.
	for cell.Load() != holderMark && len(done) == 0 {
		runtime.Gosched()
	}
	if err := fence(); err != nil {
		t.Error(err)
	}
	cell.Store(intruderMark)
	return <-done
}
