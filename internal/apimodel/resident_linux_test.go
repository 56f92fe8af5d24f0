package apimodel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// checkNotResident checks that the kernel has no memory for blocks that were freed,
// when everything was.
func (w *world) checkNotResident() {
	page := uintptr(unix.Getpagesize())
	for _, b := range w.past {
		if b.owner.closed || b.owner.shared {
			continue
		}
		first := b.address() &^ (page - 1)
		pages := (b.end() - first + page - 1) / page
		state := make([]byte, pages)
		_, _, err := unix.Syscall(unix.SYS_MINCORE, first, pages*page, uintptr(unsafe.Pointer(&state[0])))
		check(err == 0, "mincore of %d pages at %#x, of a block of %s that was freed: %v", pages, first, b.owner.name, err)
		for i, bits := range state {
			check(bits&1 == 0, "page %d of %d of a block of %s that was freed is resident after Trim", i, pages, b.owner.name)
		}
	}
}
