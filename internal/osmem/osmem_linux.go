//go:build !vcpualloc_gomem

package osmem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	noReserve = unix.MAP_NORESERVE

	// releaseZeroes: private memory reads as zero after MADV_DONTNEED, madvise(2).
	releaseZeroes = true
)

// setName names a mapping for people who read /proc/self/maps. Kernels without
// CONFIG_ANON_VMA_NAME refuse, which changes nothing else.
func setName(base unsafe.Pointer, size uintptr, name string) {
	text, err := unix.BytePtrFromString("vcpualloc " + name)
	if err != nil {
		return
	}
	unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_VMA, unix.PR_SET_VMA_ANON_NAME,
		uintptr(base), size, uintptr(unsafe.Pointer(text)), 0)
}

// NoHugePages asks that touching one OS page of the range never takes memory for
// a whole huge page, as it can where transparent huge pages are set to "always".
// A kernel without huge pages refuses, and needs not be asked.
func (r *Range) NoHugePages() {
	unix.RawSyscall(unix.SYS_MADVISE, uintptr(r.mapping), r.mappingSize, unix.MADV_NOHUGEPAGE)
}
