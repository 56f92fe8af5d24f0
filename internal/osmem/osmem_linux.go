//go:build !vcpualloc_gomem

package osmem

import (
	"fmt"
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

// Resident asks the kernel how much of the first size bytes of the range takes
// memory, in bytes.
func (r *Range) Resident(size uintptr) (resident int64, err error) {
	const chunk = 1 << 30 // bytes in one call
	page := PageSize()
	there := make([]byte, min(size, chunk)/page+1)
	for offset := uintptr(0); offset < size; offset += chunk {
		length := min(size-offset, chunk)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(r.Base)+offset, length, uintptr(unsafe.Pointer(unsafe.SliceData(there))))
		if errno != 0 {
			return 0, fmt.Errorf("osmem: mincore: %w", errno)
		}
		for _, flags := range there[:(length+page-1)/page] {
			resident += int64(flags&1) * int64(page)
		}
	}
	return resident, nil
}
