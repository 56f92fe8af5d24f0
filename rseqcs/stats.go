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

// kernelFence is replaced by tests, which make it fail.
var kernelFence = rseq.Fence

// Fence aborts every section that a thread of this process is inside of, on all
// CPUs, and returns when none is: about 20 us. What the caller wrote before,
// every later section sees. The error says why there is no fence here.
func Fence() error {
	if err := kernelFence(); err != nil {
		return err
	}
	fences.Add(1)
	return nil
}
