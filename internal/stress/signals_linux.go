package stress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Signals is a timer of the kernel that sends one thread a signal again and again.
type Signals struct {
	Signal unix.Signal
	Every  time.Duration
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
	var timer int32
	if _, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer))); errno != 0 {
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

// Deliver sends a signal to a thread of this process, and returns when the thread has
// received it: no signal is merged with an earlier one.
func Deliver(tid int, signal unix.Signal) error {
	status, err := os.Open(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil {
		return err
	}
	defer status.Close()
	if err := unix.Tgkill(unix.Getpid(), tid, signal); err != nil {
		return fmt.Errorf("tgkill: %w", err)
	}
	var text [4096]byte
	for {
		n, err := status.ReadAt(text[:], 0)
		if err != nil && err != io.EOF {
			return err
		}
		_, pending, found := bytes.Cut(text[:n], []byte("\nSigPnd:\t"))
		var set uint64
		if _, err := fmt.Sscanf(string(pending), "%x", &set); !found || err != nil {
			return fmt.Errorf("%s does not tell the pending signals", status.Name())
		}
		if set>>(signal-1)&1 == 0 {
			return nil
		}
	}
}

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
