package stress

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signals is a timer of the kernel that sends one thread a signal again and again.
type Signals struct {
	Signal unix.Signal
	Every  time.Duration
	// OwnTime counts the time that the thread runs, as the CPU profiler does, and
	// not the time that passes. The kernel looks at its ticks only.
	OwnTime bool
}

// To begins to send to a thread of this process, and returns what ends it.
func (s Signals) To(tid int) (stop func(), err error) {
	// struct sigevent, include/uapi/asm-generic/siginfo.h.
	event := struct {
		value          uintptr
		signal, notify int32
		tid            int32
		_              [48]byte // 64 bytes in all, at least
	}{signal: int32(s.Signal), notify: notifyThread, tid: int32(tid)}
	clock := int32(unix.CLOCK_MONOTONIC)
	if s.OwnTime {
		// MAKE_THREAD_CPUCLOCK(tid, CPUCLOCK_SCHED), include/linux/posix-timers.h.
		clock = ^int32(tid)<<3 | 6
	}
	var timer int32
	if _, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, uintptr(clock), uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer))); errno != 0 {
		return nil, fmt.Errorf("timer_create: %w", errno)
	}
	stop = func() { unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(timer), 0, 0) }
	every := unix.NsecToTimespec(int64(s.Every))
	spec := [2]unix.Timespec{every, every}
	if _, _, errno := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		stop()
		return nil, fmt.Errorf("timer_settime: %w", errno)
	}
	return stop, nil
}

// notifyThread is SIGEV_THREAD_ID: the signal goes to a thread.
const notifyThread = 4

// SignalCost returns how long the running thread, to which the goroutine must be
// locked, takes for one signal. Signals that come faster leave it no time.
func SignalCost() (time.Duration, error) {
	const signals, tries = 100, 5
	best := time.Duration(1 << 62)
	var err error
	for range tries { // the shortest one was not interrupted
		began := time.Now()
		for range signals {
			err = errors.Join(err, unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGURG))
		}
		best = min(best, time.Since(began)/signals)
	}
	return best, err
}
