package rseq

import "unsafe"

// readThread takes the guard's readings of the running thread.
func readThread() readings {
	stored, g := threadG()
	m := threadM()
	g0 := *(*unsafe.Pointer)(m)
	return readings{
		storedG: stored,
		g:       uintptr(g),
		m:       uintptr(m),
		mOfG0:   *(*uintptr)(unsafe.Add(g0, OffsetOfM)),
		word:    threadPointer(),
	}
}
