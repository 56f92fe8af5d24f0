package rseq

import (
	"syscall"
	"unsafe"
)

// readThread takes the guard's readings of the running thread.
func readThread() readings {
	stored, g := threadG()
	r := readings{storedG: stored, g: uintptr(g), word: threadWord()}
	if r.storedG != r.g {
		return r
	}
	m := threadM()
	g0 := *(*unsafe.Pointer)(m)
	r.m, r.mOfG0 = uintptr(m), *(*uintptr)(unsafe.Add(g0, OffsetOfM))
	const archGetFS = 0x1003
	if _, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archGetFS, uintptr(unsafe.Pointer(&r.fs)), 0); errno != 0 {
		r.fs = 0
	}
	return r
}
