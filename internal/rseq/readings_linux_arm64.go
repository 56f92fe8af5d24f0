package rseq

import "github.com/vcpualloc/vcpualloc/internal/procpin"

// readThread takes the guard's readings of the running thread.
func readThread() readings {
	stored, g := threadG()
	r := readings{storedG: stored, g: uintptr(g), word: threadPointer()}
	if m, ok := procpin.MOf(r.g); ok {
		r.m = m
	}
	return r
}
