package seccomp

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is a system call that may be deadly.
type Call int

const (
	Rseq Call = iota
	Membarrier
	SchedSetaffinity
	SchedSetattr
	Mbind
	GetMempolicy
	Mincore
	callCount
)

func (c Call) String() string {
	return [callCount]string{"rseq", "membarrier", "sched_setaffinity", "sched_setattr", "mbind", "get_mempolicy", "mincore"}[c]
}

// attempt is a call with its arguments.
type attempt struct {
	number    uintptr
	arguments [3]uintptr
}

// attempts are what the child does. None of them has an effect.
var attempts = [callCount]attempt{
	Rseq:             {unix.SYS_RSEQ, [3]uintptr{0, 0, ^uintptr(0)}}, // unknown flags
	Membarrier:       {unix.SYS_MEMBARRIER, [3]uintptr{}},            // a query
	SchedSetaffinity: {unix.SYS_SCHED_SETAFFINITY, [3]uintptr{}},     // an empty mask
	SchedSetattr:     {unix.SYS_SCHED_SETATTR, [3]uintptr{}},         // no attributes
	Mbind:            {unix.SYS_MBIND, [3]uintptr{}},                 // no memory
	GetMempolicy:     {unix.SYS_GET_MEMPOLICY, [3]uintptr{}},         // nowhere to tell it
	Mincore:          {unix.SYS_MINCORE, [3]uintptr{1}},              // an odd address
}

// Forbids returns nil if the call may be made, and otherwise why not. Later calls
// of Forbids cost a load.
func Forbids(c Call) error { return verdicts()[c] }

var verdicts = sync.OnceValue(func() (errs [callCount]error) {
	if !mayFilter() {
		return errs
	}
	killed, err := try(attempts[:])
	if err == nil && !killed {
		return errs
	}
	for c := range errs {
		// All at once have killed, or could not be tried: which one is it?
		if killed, err = try(attempts[c : c+1]); err != nil {
			errs[c] = fmt.Errorf("%v: a seccomp filter is installed, and whether it kills cannot be tried: %w", Call(c), err)
		} else if killed {
			errs[c] = fmt.Errorf("%v: a seccomp filter kills who calls it", Call(c))
		}
	}
	return errs
})

// mayFilter reports whether this process has a seccomp filter, as far as the
// kernel tells.
func mayFilter() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err != nil || !bytes.Contains(status, []byte("\nSeccomp:\t0\n"))
}

// try makes the calls in a child and reports whether a signal has ended it.
func try(calls []attempt) (killed bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	child, errno := fork(calls)
	if errno != 0 {
		return false, fmt.Errorf("fork: %w", errno)
	}
	var status unix.WaitStatus
	for {
		// The child sends no SIGCHLD, so only __WALL waits for it.
		_, err := unix.Wait4(int(child), &status, unix.WALL, nil)
		if err == nil {
			return status.Signaled(), nil
		}
		if err != unix.EINTR {
			return false, fmt.Errorf("wait4: %w", err)
		}
	}
}

// fork starts a child that makes the calls and exits. In the child there is no
// runtime: no other thread, hence no collector and no scheduler. So nothing here
// may grow the stack, allocate or be instrumented, and with all signals blocked
// no handler runs there.
//
//go:nosplit
//go:norace
func fork(calls []attempt) (child uintptr, errno syscall.Errno) {
	all, before := ^uint64(0), uint64(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&before)), unsafe.Sizeof(all), 0, 0)
	child, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, 0, 0, 0, 0, 0, 0)
	if errno == 0 && child == 0 {
		// No core file of this child.
		syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0)
		for i := range calls {
			c := &calls[i]
			syscall.RawSyscall(c.number, c.arguments[0], c.arguments[1], c.arguments[2])
		}
		for {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&before)), 0, unsafe.Sizeof(all), 0, 0)
	return child, errno
}
