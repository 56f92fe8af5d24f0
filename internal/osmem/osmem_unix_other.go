//go:build unix && !linux && !vcpualloc_gomem && !aix && !solaris && !illumos

package osmem

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	noReserve = 0

	// ReleaseZeroes tells whether memory reads as zero after Release: outside of Linux MADV_DONTNEED is advice, and old contents may stay.
	ReleaseZeroes = false
)

func releaseAtOnce() uintptr { return ^uintptr(0) }

func setName(unsafe.Pointer, uintptr, string) {}

func dontNeed(memory []byte) error { return unix.Madvise(memory, unix.MADV_DONTNEED) }

// reasons knows no more than the system says.
func reasons(*CallError) string { return "" }

// NoHugePages does nothing: only Linux has to be asked.
func (r *Range) NoHugePages() {}

// Bind returns an error: only Linux has it.
func (r *Range) Bind(Binding, []int) error {
	return errors.New("osmem: no binding to nodes on " + runtime.GOOS)
}
