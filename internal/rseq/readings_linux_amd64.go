package rseq

import (
	"syscall"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
)

// readThread takes the guard's readings of the running thread.
func readThread() readings {
	stored, g := threadG()
	r := readings{storedG: stored, g: uintptr(g), word: threadWord()}
	if m, ok := procpin.MOf(r.g); ok {
		r.m = m
	}
	const archGetFS = 0x1003
	if _, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archGetFS, uintptr(unsafe.Pointer(&r.fs)), 0); errno != 0 {
		r.fs = 0
	}
	return r
}
