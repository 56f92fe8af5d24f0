//go:build linux && (amd64 || arm64)

package vcpu

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/internal/seccomp"
)

// The self-test: does this kernel abort a section that it interrupts?
//
// Two threads are pinned to one CPU. The holder runs long sections: it writes
// its mark into a cell and reads it over and over. The intruder sleeps, and
// each time it wakes up the kernel must take the CPU from the holder; it then
// writes a mark of its own. A holder that is not aborted sees the foreign mark.
// The kernel is sound after enoughAborts without such a sight.
//
// The intruder runs as in a system call, that is without a P: otherwise, with
// GOMAXPROCS=1, the holder would have to give up the P, and so the CPU, before
// the intruder could run, and no section would ever be interrupted.
const (
	enoughAborts = 16
	patience     = 300 * time.Millisecond // of the holder's CPU time, before sections count as broken

	// enoughInterruptions without enoughAborts are what a broken kernel shows:
	// most of them meet a section, but an emulator prefers the code in between.
	enoughInterruptions = 8 * enoughAborts

	busyPatience = 3 * time.Second // of real time: others may leave the holder hardly any of the CPU

	shortNap  = 20 * time.Microsecond // of the intruder between two marks, at first
	longNap   = 2 * time.Millisecond  // likewise, at the end
	shortNaps = 10 * time.Millisecond // before the naps get longer

	holdSpins = 20_000 // reads of the cell in one section: 10 to 100 us

	holderMark   = 0x600d
	intruderMark = 0xbad
)

// Outcomes of hold, known to the assembly.
const (
	heldThrough = iota
	heldAborted
	heldViolated
	heldNoArea
)

// testResult is what the holder counted.
type testResult struct {
	aborts, violations int
	err                error
}

// selfTest returns nil if sections work on the ground g.
func selfTest(g *rseq.Ground) error {
	if err := describeSections(g); err != nil {
		return err
	}
	return testSections(g).verdict()
}

// testSections lets holder and intruder play with the sections as they are
// described.
func testSections(g *rseq.Ground) testResult {
	var cell, stop atomic.Uint32
	nap := unix.NsecToTimespec(int64(shortNap))
	started := make(chan int, 1)
	result := make(chan testResult)
	intruderDone := make(chan error)
	go onUsableThread(func(usable bool) { result <- holder(g, &cell, &nap, started, usable) }, threadTries)
	go func() { intruderDone <- intruder(&cell, &stop, &nap, started) }()
	r := <-result
	stop.Store(1)
	if err := <-intruderDone; r.err == nil {
		r.err = err
	}
	return r
}

func (r testResult) verdict() error {
	switch {
	case r.err != nil:
		return fmt.Errorf("the self-test of restartable sections could not run: %w", r.err)
	case r.violations > 0:
		return fmt.Errorf("sections are not aborted: the self-test saw %d violations and %d aborts (the kernel breaks its promise, as arm64 Linux 6.19 to 7.0.13 do)", r.violations, r.aborts)
	case r.aborts < enoughAborts:
		return fmt.Errorf("sections are not aborted: the self-test saw %d of %d aborts in %v of CPU time", r.aborts, enoughAborts, patience)
	}
	return nil
}

// threadTries bounds the search for a thread that can register. Only the main
// thread of a position-independent program is known to be unable to.
const threadTries = 4

// onUsableThread calls body on a thread that has an rseq area, locked to it.
// After the last try it calls body with false, on a thread that has none.
func onUsableThread(body func(usable bool), tries int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if usable := rseq.EnsureThread(); usable || tries == 1 {
		body(usable)
		return
	}
	// While this goroutine waits it keeps its thread to itself, so the next one
	// runs on another.
	done := make(chan struct{})
	go func() {
		defer close(done)
		onUsableThread(body, tries-1)
	}()
	<-done
}

// holder runs long sections until it has seen enough. It tells started the CPU
// it is pinned to, or -1.
func holder(g *rseq.Ground, cell *atomic.Uint32, nap *unix.Timespec, started chan<- int, usable bool) (r testResult) {
	if !usable {
		started <- -1
		return testResult{err: errNoArea}
	}
	restore, cpu, err := pinThread(-1)
	if err == nil && !canBeInterrupted() {
		restore()
		err = errRealTime
	}
	if err != nil {
		started <- -1
		return testResult{err: err}
	}
	defer restore()
	started <- cpu
	before, began := threadUse(), time.Now()
	var used use
	// A signal aborts a section as well, so that aborts alone are not enough.
	for (r.aborts < enoughAborts || used.interruptions < enoughAborts) && r.violations == 0 {
		switch hold(g, cell) {
		case heldAborted:
			r.aborts++
		case heldViolated:
			r.violations++
		case heldNoArea:
			r.err = errNoArea
			return r
		}
		used = threadUse().since(before)
		took := time.Since(began)
		lengthenNap(nap, took)
		// After one abort it is the luck of the interruptions, and no violation
		// means that nothing is known to be broken: that gets all the time there is.
		if r.aborts == 0 && used.interruptions >= enoughInterruptions && used.time > patience {
			break
		}
		if took > busyPatience {
			r.err = fmt.Errorf("its thread was interrupted %d of %d times in %v, of which it ran for %v", used.interruptions, enoughInterruptions, took, used.time)
			break
		}
	}
	return r
}

// lengthenNap makes the intruder sleep longer the longer the test takes. Where
// system calls are slow, in an emulator or under a tracer, the short nap is over
// before the holder is back in a section, and hardly any section is interrupted.
func lengthenNap(nap *unix.Timespec, took time.Duration) {
	atomic.StoreInt64(&nap.Nsec, int64(min(shortNap+max(0, took-shortNaps)/50, longNap)))
}

// use is what a thread has had of a CPU.
type use struct {
	time          time.Duration
	interruptions int64 // how often the CPU was taken from it
}

// threadUse returns the running thread's use since its start.
func threadUse() use {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return use{}
	}
	return use{time.Duration(u.Utime.Nano() + u.Stime.Nano()), int64(u.Nivcsw)}
}

func (u use) since(before use) use {
	return use{u.time - before.time, u.interruptions - before.interruptions}
}

// intruder keeps waking up on the holder's CPU and writing its mark, until stop.
func intruder(cell, stop *atomic.Uint32, nap *unix.Timespec, started <-chan int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := <-started
	if cpu < 0 {
		return nil
	}
	restore, _, err := pinThread(cpu)
	if err != nil {
		return err
	}
	defer restore()
	defer shortenSlice()()
	intrudeWithoutP(cell, stop, nap)
	return nil
}

// intrudeWithoutP runs the intruder's loop as a system call. It must not grow
// the stack between its calls.
//
//go:nosplit
func intrudeWithoutP(cell, stop *atomic.Uint32, sleep *unix.Timespec) {
	enterSyscall()
	intrude(cell, stop, sleep, intruderMark)
	exitSyscall()
}

// The runtime keeps these names reachable because of their users outside.

//go:linkname enterSyscall runtime.entersyscall
func enterSyscall()

//go:linkname exitSyscall runtime.exitsyscall
func exitSyscall()

// shortenSlice asks for the shortest time slice that the scheduler gives. Since
// Linux 6.12 a thread with a shorter slice takes the CPU as soon as it wakes up
// instead of at the end of the other's slice, which is a matter of milliseconds;
// earlier kernels ignore it. restore goes back to the default slice.
func shortenSlice() (restore func()) {
	if seccomp.Forbids(seccomp.SchedSetattr) != nil {
		return func() {}
	}
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil || attributes.Policy != unix.SCHED_NORMAL {
		return func() {}
	}
	before := *attributes
	attributes.Runtime = uint64(100 * time.Microsecond)
	if err := unix.SchedSetAttr(0, attributes, 0); err != nil {
		return func() {}
	}
	before.Runtime = 0 // the default slice
	return func() { unix.SchedSetAttr(0, &before, 0) }
}

// canBeInterrupted reports whether the running thread is scheduled in time
// slices. One with a real-time policy keeps its CPU until it sleeps, from others
// of the same priority too.
func canBeInterrupted() bool {
	attributes, err := unix.SchedGetAttr(0, 0)
	return err != nil || attributes.Policy == unix.SCHED_NORMAL || attributes.Policy == unix.SCHED_BATCH || attributes.Policy == unix.SCHED_IDLE
}

var (
	errNoArea   = errors.New("no two threads of this process can register rseq")
	errRealTime = errors.New("a thread with a real-time scheduling policy is not interrupted")
)

// pinThread locks the goroutine to its thread and the thread to the given CPU,
// or to the one it is on, and returns how to undo both.
func pinThread(cpu int) (restore func(), on int, err error) {
	if err := seccomp.Forbids(seccomp.SchedSetaffinity); err != nil {
		return nil, 0, err
	}
	runtime.LockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return nil, 0, fmt.Errorf("sched_getaffinity: %w", err)
	}
	if cpu < 0 {
		cpu = currentCPU()
	}
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		runtime.UnlockOSThread()
		return nil, 0, fmt.Errorf("sched_setaffinity to CPU %d: %w", cpu, err)
	}
	return func() {
		// A thread whose mask cannot be restored stays locked, and the runtime
		// ends it together with the goroutine.
		if unix.SchedSetaffinity(0, &before) == nil {
			runtime.UnlockOSThread()
		}
	}, cpu, nil
}

// currentCPU returns the CPU of the running thread.
func currentCPU() int {
	var cpu uint32
	unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0)
	return int(cpu)
}

func holdSelf(cell *atomic.Uint32, mark, spins uint32) (outcome uint32)
func holdLibc(cell *atomic.Uint32, mark, spins uint32) (outcome uint32)

// intrude sleeps and writes mark to cell in turn until stop is not zero.
func intrude(cell, stop *atomic.Uint32, sleep *unix.Timespec, mark uint32)

// hold runs one long section of the holder.
func hold(g *rseq.Ground, cell *atomic.Uint32) uint32 {
	if g.Owner == rseq.Libc {
		return holdLibc(cell, holderMark, holdSpins)
	}
	return holdSelf(cell, holderMark, holdSpins)
}

// sectionCount is how many sections the assembly has: hold, for each owner.
const sectionCount = 2

func sectionTable() *[sectionCount]unsafe.Pointer
func sectionDescriptors() *[sectionCount]rseq.Descriptor

// libcOffset is the distance from the thread pointer to libc's area, for the assembly.
var libcOffset uintptr

func describeSections(g *rseq.Ground) (err error) {
	libcOffset = g.LibcOffset
	descriptors := sectionDescriptors()
	for i, entry := range sectionTable() {
		if descriptors[i], err = rseq.Describe(entry); err != nil {
			return err
		}
	}
	return nil
}

// What the assembly needs of internal/rseq, under names that go_asm.h gives.
const (
	offsetCS    = rseq.OffsetCS
	offsetOwner = rseq.OffsetOwner
	offsetOfM   = rseq.OffsetOfM
	signature   = rseq.Signature

	sysNanosleep = unix.SYS_NANOSLEEP
)
