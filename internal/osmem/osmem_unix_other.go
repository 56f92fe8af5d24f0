//go:build unix && !linux && !vcpualloc_gomem && !aix && !solaris && !illumos

package osmem

import "unsafe"

const (
	noReserve = 0

	// releaseZeroes: outside of Linux MADV_DONTNEED is advice, and old contents may stay.
	releaseZeroes = false
)

func setName(unsafe.Pointer, uintptr, string) {}

// NoHugePages does nothing: only Linux has to be asked.
func (r *Range) NoHugePages() {}
