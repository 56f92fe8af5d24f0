//go:build !vcpualloc_faults || vcpualloc_gomem

package apimodel

// Without the build tag vcpualloc_faults no call of the system fails.

func (w *world) faultsOp(op) {}

func (w *world) setFaults(uint64) {}
