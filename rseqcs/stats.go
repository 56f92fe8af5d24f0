package rseqcs

import (
	"sync/atomic"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// Stats counts what happened to the sections of this process since its start.
type Stats struct {
	Registrations uint64 // threads that registered an area of ours
	Aborts        uint64 // sections that were interrupted and began again
	Fences        uint64 // calls of Fence that succeeded
	Fallbacks     uint64 // slow-path operations of threads that cannot run sections
}

var fences, fallbacks atomic.Uint64

// ReadStats returns the counts as they are now.
func ReadStats() Stats {
	return Stats{
		Registrations: rseq.ReadThreadStats().Registrations,
		Aborts:        atomic.LoadUint64(&aborts),
		Fences:        fences.Load(),
		Fallbacks:     fallbacks.Load(),
	}
}

// fenceCalls is how many calls of membarrier(2) make one fence. Kernels from 5.10
// on that lack commit 6eb350a22331 can lose the abort of one call: its interrupt
// arrives while the kernel, about to resume the section, has read the thread's
// pending events and not yet cleared them. By the second call's interrupt the
// thread has left that window; docs/rseq.md tells what is assumed. No version
// tells whether a kernel has the fix, since vendors backport.
const fenceCalls = 2

// kernelFence is one call. Tests replace it.
var kernelFence = rseq.FenceOnce

// Fence aborts every section that a thread of this process is inside of, on all
// CPUs, and returns when none is: after 10 to 40 us where other threads run.
// Writes made before Fence are visible to every section that starts after it
// returns. The error says why there is no fence here.
func Fence() error {
	for range fenceCalls {
		if err := kernelFence(); err != nil {
			return err
		}
	}
	fences.Add(1)
	return nil
}
