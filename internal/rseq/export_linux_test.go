//go:build amd64 || arm64

package rseq

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// kernelSizeVariable makes the test program take another feature size for the kernel's.
const kernelSizeVariable = "VCPUALLOC_TEST_KERNEL_SIZE"

func init() {
	if size, err := strconv.Atoi(os.Getenv(kernelSizeVariable)); err == nil {
		tellKernelSize = func(int) int { return size }
	}
}

// setField writes a field of the running thread's area, as a kernel would. The goroutine
// must be locked to its thread, and the thread registered.
func setField(offset uintptr, value uint32) {
	area := threadWord()
	if g := Find(); g.Owner == Libc {
		area = threadPointer() + g.LibcOffset
	}
	*(*uint32)(unsafe.Add(address(area), offset)) = value
}

// unregister takes the running thread's area from the kernel, as a checkpoint tool does.
// The goroutine must be locked to its thread, whose area is ours.
func unregister() error {
	// The flag 1 is RSEQ_FLAG_UNREGISTER.
	_, _, errno := syscall.RawSyscall6(sysRseq, threadWord(), uintptr(threads.length), 1, Signature, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
