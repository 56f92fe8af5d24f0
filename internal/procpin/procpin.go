// Package procpin keeps the running goroutine on its P for a few instructions,
// as sync.Pool does. It is what the assigned tier excludes with: while a
// goroutine is pinned, no other goroutine runs on its P.
package procpin

import _ "unsafe" // go:linkname

// Pin forbids preemption of the calling goroutine and returns the index of its
// P, in [0, GOMAXPROCS). Until Unpin the caller must not block, panic, grow its
// stack without need, or run for longer than a few hundred nanoseconds.
//
// The runtime keeps this name reachable because of its many users outside.
//
//go:linkname Pin runtime.procPin
//go:nosplit
func Pin() int

// Unpin ends what the last Pin of the calling goroutine began.
//
//go:linkname Unpin runtime.procUnpin
//go:nosplit
func Unpin()
