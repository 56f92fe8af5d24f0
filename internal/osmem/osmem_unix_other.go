//go:build unix && !linux && !vcpualloc_gomem && !aix && !solaris && !illumos

package osmem

import (
	"errors"
	"runtime"
	"unsafe"
)

const (
	noReserve = 0

	// releaseZeroes: outside of Linux MADV_DONTNEED is advice, and old contents may stay.
	releaseZeroes = false
)

func releaseAtOnce() uintptr { return ^uintptr(0) }

func setName(unsafe.Pointer, uintptr, string) {}

// why and whyKept know no more than the system says.
func why(err error) error     { return err }
func whyKept(err error) error { return err }

// NoHugePages does nothing: only Linux has to be asked.
func (r *Range) NoHugePages() {}

// Bind returns an error: only Linux has it.
func (r *Range) Bind(Binding, []int) error {
	return errors.New("osmem: no binding to nodes on " + runtime.GOOS)
}
