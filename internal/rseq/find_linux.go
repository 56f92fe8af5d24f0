//go:build amd64 || arm64

package rseq

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/seccomp"
)

const (
	atRseqFeatureSize = 27
	atRseqAlign       = 28
)

// Find returns what this process stands on. The first call looks, checks every
// assumption on two threads and registers both; later calls are a load.
func Find() *Ground {
	if g := found.Load(); g != nil {
		return g
	}
	return findOnce()
}

var found atomic.Pointer[Ground]

var findOnce = sync.OnceValue(func() *Ground {
	g := find()
	found.Store(g)
	return g
})

// tellKernelSize is the identity; tests invent a kernel that has more fields.
var tellKernelSize = func(size int) int { return size }

// Unused returns the ground of a process that is to leave rseq alone.
func Unused() *Ground {
	g := &Ground{}
	if vector, err := unix.Auxv(); err == nil {
		for _, entry := range vector {
			switch entry[0] {
			case atRseqFeatureSize:
				g.KernelSize = tellKernelSize(int(entry[1]))
			case atRseqAlign:
				g.KernelAlign = int(entry[1])
			}
		}
	}
	return g
}

func find() *Ground {
	g := Unused()
	if err := seccomp.Forbids(seccomp.Rseq); err != nil {
		g.Reason = err.Error()
		return g
	}
	if isCgo() {
		findLibc(g)
	} else {
		findSelf(g)
	}
	return g
}

// onTwoThreads runs check on this thread and on another one, and returns the
// two answers.
func onTwoThreads[T any](check func() T) [2]T {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	other := make(chan T)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		other <- check()
	}()
	// The other goroutine cannot run on this thread while this one is locked
	// to it, so it is another thread, and in most cases a fresh one.
	theirs := <-other
	return [2]T{check(), theirs}
}

// readings is what the guard of the self-registered row looks at, on one thread.
type readings struct {
	storedG, g uintptr // g as stored before FS, g in its register
	m          uintptr // g.m; 0 if there is none where it was expected
	fs         uintptr // base of FS; amd64 only
	word       uintptr // the word that is to hold the area's address
}

// maxSizeOfM bounds runtime.m, in bytes; it has about 1,800 in Go 1.27.
const maxSizeOfM = 4096

// check returns why the word must not be used, or "".
func (r readings) check() string {
	switch {
	case r.g == 0 || r.storedG != r.g:
		return fmt.Sprintf("the runtime does not keep g where it was expected (%#x, g is %#x)", r.storedG, r.g)
	case r.m == 0:
		return fmt.Sprintf("g.m is not at offset %d in this Go release", OffsetOfM)
	case runtime.GOARCH == "amd64" && (r.fs < r.m || r.fs+32 > r.m+maxSizeOfM):
		return fmt.Sprintf("FS (%#x) does not point into the M at %#x", r.fs, r.m)
	case r.word != 0:
		return fmt.Sprintf("the spare thread word is in use (it holds %#x)", r.word)
	}
	return ""
}

func findSelf(g *Ground) {
	for _, r := range onTwoThreads(readThread) {
		if reason := r.check(); reason != "" {
			g.Reason = reason + ": no place for a thread's rseq area"
			return
		}
	}
	threads.length = max(MinLength, g.KernelSize)
	threads.align = g.KernelAlign
	accepted := onTwoThreads(func() bool {
		if threadWord() == 0 {
			registerSelf()
		}
		return int32(field(OffsetCPUID, 0, false)) >= 0
	})
	// One is enough: in a position-independent program ld.so has registered
	// the main thread, and that one alone goes without.
	if !accepted[0] && !accepted[1] {
		g.Reason = refusal(threads.lastErrno)
		return
	}
	g.Owner, g.Registered = Self, threads.length
}

// refusal says in words why the kernel did not take a registration.
func refusal(errno syscall.Errno) string {
	switch errno {
	case 0:
		return "no memory for a thread's rseq area"
	case syscall.ENOSYS:
		return "the kernel has no rseq (ENOSYS: before 4.18, a sandbox such as gVisor, or a seccomp filter)"
	case syscall.EPERM:
		return "rseq is forbidden (EPERM: a seccomp filter)"
	case syscall.EINVAL:
		return "somebody else has registered rseq for this program's threads (EINVAL)"
	}
	return fmt.Sprintf("the kernel refuses rseq (%v)", errno)
}
