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

// FollowsPolicy returns false: nothing here asks for one.
func FollowsPolicy() bool { return false }

// IsEager returns false: nothing here can tell.
func (r *Range) IsEager() bool { return false }

var errNoHuge = errors.New("osmem: huge pages are Linux's")

// HugePages returns an error.
func (r *Range) HugePages() error { return errNoHuge }

// Collapse returns an error.
func (r *Range) Collapse(offset, size uintptr) error { return errNoHuge }

// IsRefusal returns true: there is never going to be any.
func IsRefusal(error) bool { return true }

// ReadHuge returns an error.
func ReadHuge() (HugeInfo, error) { return HugeInfo{}, errNoHuge }
