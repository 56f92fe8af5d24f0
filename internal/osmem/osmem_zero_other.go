//go:build !linux || vcpualloc_gomem

package osmem

// Zero makes size bytes at offset zero.
func (r *Range) Zero(offset, size uintptr) { clear(r.Bytes(offset, size)) }
