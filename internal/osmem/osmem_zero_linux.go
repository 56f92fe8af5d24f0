//go:build !vcpualloc_gomem

package osmem

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/seccomp"
)

const (
	// zeroByAsking is from which size on Zero asks the kernel what is resident, in bytes:
	// below, the question costs a considerable part of what clearing costs.
	zeroByAsking = 1 << 20

	// zeroAsked is how many OS pages Zero asks about with one call.
	zeroAsked = 512
)

// Zero makes size bytes at offset read as zero. OS pages that are not resident are not
// touched if there are many: they keep taking no memory.
func (r *Range) Zero(offset, size uintptr) {
	page := PageSize()
	end := offset + size
	first, last := (offset+page-1)&^(page-1), end&^(page-1)
	if size < zeroByAsking || first >= last || seccomp.Forbids(seccomp.Mincore) != nil {
		clear(r.Bytes(offset, size))
		return
	}
	clear(r.Bytes(offset, first-offset))
	clear(r.Bytes(last, end-last))
	for first < last {
		piece := min(last-first, zeroAsked*page)
		r.zeroPages(first, piece)
		first += piece
	}
}

// zeroPages is Zero for whole OS pages, zeroAsked at the most. Resident ones are cleared.
// Others may lie in swap, which is where MADV_DONTNEED drops them.
func (r *Range) zeroPages(offset, size uintptr) {
	var resident [zeroAsked]byte
	page := PageSize()
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(r.Base)+offset, size, uintptr(unsafe.Pointer(&resident))); errno != 0 {
		clear(r.Bytes(offset, size))
		return
	}
	count := size / page
	for i := uintptr(0); i < count; {
		there, from := resident[i]&1, i
		for i < count && resident[i]&1 == there {
			i++
		}
		at, length := offset+from*page, (i-from)*page
		if there != 0 || r.release(at, at+length, releaseAtOnce()) != nil {
			clear(r.Bytes(at, length))
		}
	}
}
