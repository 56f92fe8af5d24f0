//go:build amd64 || arm64

package rseq

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onFreshThread runs body on a thread without an area, which dies with it. The
// C library's threads always have one.
func onFreshThread(t *testing.T, body func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		if threadWord() != 0 && !isCgo() {
			// This one stays with its thread, so the next gets another.
			onFreshThread(t, body)
			return
		}
		body()
	}()
	<-done
}

// needKernel skips the test where the kernel or a filter refuses rseq.
func needKernel(t *testing.T) *Ground {
	t.Helper()
	g := Find()
	if g.Owner == None {
		t.Skipf("no rseq in this process: %s", g.Reason)
	}
	return g
}

// rawRseqWith is rawRseq with any flags and signature.
func rawRseqWith(area, length, flags, signature uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(sysRseq, area, length, flags, signature, 0, 0)
	return errno
}

// pageOfAreas returns memory that stays: the kernel writes to it while the
// thread lives.
func pageOfAreas(t *testing.T) uintptr {
	t.Helper()
	memory, err := unix.MmapPtr(-1, 0, nil, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	return uintptr(memory)
}

// TestKernelAnswers checks the return codes that this package builds on, on a
// thread that registers an area of its own.
func TestKernelAnswers(t *testing.T) {
	g := needKernel(t)
	length := uintptr(max(MinLength, g.KernelSize))
	area := pageOfAreas(t)
	if g.Owner == Libc {
		length = uintptr(g.Registered)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		checkAnswers(t, threadPointer()+g.LibcOffset, area, length)
		return
	}
	onFreshThread(t, func() {
		if errno := syscall.Errno(rawRseq(area+8, length)); errno != syscall.EINVAL {
			t.Errorf("an area that is not aligned: %v, want EINVAL", errno)
		}
		if errno := syscall.Errno(rawRseq(area, MinLength-1)); errno != syscall.EINVAL {
			t.Errorf("%d bytes: %v, want EINVAL", MinLength-1, errno)
		}
		if errno := syscall.Errno(rawRseq(area, length)); errno != 0 {
			t.Fatalf("%d bytes: %v", length, errno)
		}
		checkAnswers(t, area, area+2048, length)
		if got := registeredLength(area, g.KernelSize); got != int(length) {
			t.Errorf("registered with %d bytes, found %d", length, got)
		}
		if got := registeredLength(area+2048, g.KernelSize); got != 0 {
			t.Errorf("another area counts as registered with %d bytes", got)
		}
		const unregister = 1
		if errno := rawRseqWith(area, length, unregister, Signature); errno != 0 {
			t.Errorf("unregister: %v", errno)
		}
	})
}

// checkAnswers asks again for a thread that has registered area.
func checkAnswers(t *testing.T, area, other, length uintptr) {
	t.Helper()
	for _, row := range []struct {
		name                    string
		area, length, signature uintptr
		want                    syscall.Errno
	}{
		{"the same", area, length, Signature, syscall.EBUSY},
		{"another area", other, length, Signature, syscall.EINVAL},
		{"another length", area, length + 32, Signature, syscall.EINVAL},
		{"another signature", area, length, Signature ^ 1, syscall.EPERM},
	} {
		if got := rawRseqWith(row.area, row.length, 0, row.signature); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// TestRegisteredLengthOfLibc is the confirmation of libc's area.
func TestRegisteredLengthOfLibc(t *testing.T) {
	if g := needKernel(t); g.Owner == Libc {
		for i, length := range onTwoThreads(func() int { return registeredLength(threadPointer()+g.LibcOffset, g.KernelSize) }) {
			if length != g.Registered {
				t.Errorf("thread %d: %d bytes, want %d", i, length, g.Registered)
			}
		}
	}
}

// TestFieldsAreTheKernels compares a thread's fields with what a system call says.
func TestFieldsAreTheKernels(t *testing.T) {
	g := needKernel(t)
	onFreshThread(t, func() {
		if !EnsureThread() {
			t.Fatal("the thread cannot register")
		}
		var before, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			t.Fatal(err)
		}
		for cpu := range 1024 {
			if !before.IsSet(cpu) {
				continue
			}
			one.Zero()
			one.Set(cpu)
			if err := unix.SchedSetaffinity(0, &one); err != nil {
				t.Fatal(err)
			}
			if got := Field(OffsetCPUID); int(got) != cpu {
				t.Errorf("CPU %d in the area, pinned to %d", int32(got), cpu)
			}
			var number, node uint32
			unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&number)), uintptr(unsafe.Pointer(&node)), 0)
			if got := Field(OffsetNodeID); g.Size() >= EndNodeID && got != node {
				t.Errorf("node %d in the area, getcpu says %d", int32(got), node)
			}
			if got := Field(OffsetMMCID); g.Size() >= EndMMCID && got == NoID {
				t.Error("the kernel has not filled in mm_cid")
			}
			// Pinned to one CPU a thread keeps its node; mm_cid may change at any time.
			if first, second := FieldPair(OffsetNodeID); g.Size() >= EndMMCID && (first != node || second > 4096) {
				t.Errorf("node %d and mm_cid %d in one load, getcpu says node %d", int32(first), int32(second), node)
			}
			if first, second := FieldPair(OffsetCPUIDStart); int(first) != cpu || int(second) != cpu {
				t.Errorf("CPU %d and %d in one load, pinned to %d", int32(first), int32(second), cpu)
			}
		}
	})
}

func TestFence(t *testing.T) {
	g := needKernel(t)
	if !HasFence() {
		t.Skip("the kernel has no fence")
	}
	for range 10 {
		if err := FenceOnce(); err != nil {
			t.Fatalf("%v (ground %+v)", err, *g)
		}
	}
	// The kernel refuses the one command that aborts sections: no other barrier is taken for
	// it. That one aborts nothing can hardly be seen, as every section ends meanwhile.
	refused := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the filter ends with the thread
		if err := refuseFences(); err != nil {
			t.Error(err)
		}
		refused <- FenceOnce()
	}()
	if err := <-refused; !errors.Is(err, unix.EPERM) {
		t.Errorf("a fence that the kernel refuses: %v", err)
	}
}

// refuseFences puts the running thread under a filter for good, which answers EPERM to
// membarrier(PRIVATE_EXPEDITED_RSEQ).
func refuseFences() error {
	const number, argument = 0, 16 // offsets in struct seccomp_data
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	skipUnless := func(value uint32, lines uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: lines, K: value}
	}
	code := []unix.SockFilter{
		load(number),
		skipUnless(unix.SYS_MEMBARRIER, 3),
		load(argument),
		skipUnless(membarrierPrivateExpeditedRseq, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_SECCOMP): %w", err)
	}
	return nil
}
