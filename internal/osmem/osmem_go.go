//go:build !unix || vcpualloc_gomem || aix || solaris || illumos

package osmem

import (
	"errors"
	"sync"
	"unsafe"
)

// Without mmap the memory is one pointer-free Go object, which the collector
// does not scan, but does count. Reservations are therefore refused above
// maxGoReserve, and the caller asks for less. The build tag vcpualloc_gomem
// selects this form everywhere, for tests.
const maxGoReserve = 256 << 20

// live keeps every reservation reachable until Unmap.
var live sync.Map // of unsafe.Pointer to []byte

// Reserve allocates size bytes.
func Reserve(size uintptr, name string) (Range, error) {
	if size > maxGoReserve {
		return Range{}, errors.New("osmem: reserve " + name + ": too large for memory of the Go heap")
	}
	memory := make([]byte, size+Align)
	mapping := unsafe.Pointer(unsafe.SliceData(memory))
	live.Store(mapping, memory)
	return aligned(mapping, size), nil
}

// reasons knows none: nothing here calls the system.
func reasons(*CallError) string { return "" }

const (
	// CanRelease tells whether Release returns memory to the system.
	CanRelease = false

	// ReleaseZeroes tells whether memory reads as zero after Release.
	ReleaseZeroes = true
)

// PageSize returns what stands for the size of an OS page, in bytes.
func PageSize() uintptr { return 4096 }

// Back makes the first size bytes usable.
func (r *Range) Back(size uintptr) error {
	r.Backed = max(r.Backed, min((size+Granule-1)&^(Granule-1), r.Size))
	return nil
}

// Release zeroes the bytes; the Go heap keeps the memory, which is not told.
func (r *Range) Release(offset, size uintptr) (returned uintptr, zeroed bool, err error) {
	clear(r.Bytes(offset, size))
	return size, true, nil
}

// Unmap lets the collector have the memory.
func (r *Range) Unmap() error {
	live.Delete(r.mapping)
	*r = Range{}
	return nil
}

// NoHugePages does nothing: only Linux has to be asked.
func (r *Range) NoHugePages() {}

// Bind returns an error: the Go heap chooses its memory.
func (r *Range) Bind(Binding, []int) error {
	return errors.New("osmem: memory of the Go heap is not bound to nodes")
}
