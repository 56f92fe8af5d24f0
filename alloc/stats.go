package alloc

import (
	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Stats is what an allocator holds; see arena.Stats for the fields.
type Stats struct {
	Name string
	Mode vcpu.Mode // how its blocks find their vCPU
	arena.Stats
}

// Stats returns the figures as they are now. It stops nobody, so they are off
// by what other goroutines allocate and free meanwhile. After Close all but the
// name and the mode are zero.
func (a *Allocator) Stats() Stats {
	s := Stats{Name: a.name, Mode: vcpu.Probe().Mode}
	if !a.closed {
		s.Stats = *a.heap.Stats()
	}
	return s
}
