//go:build unix && !vcpualloc_gomem && !aix && !solaris && !illumos

package osmem

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
)

// Reserve reserves size bytes of address space, a multiple of Granule, under a
// name that /proc/self/maps shows where the kernel can (Linux 5.17). Touching
// them before Back is a fault. An error is explained, so the caller must hold no lock.
func Reserve(size uintptr, name string) (Range, error) {
	mapping, err := mapNothing(size + Align)
	if err != nil {
		return Range{}, Explain(&CallError{Action: "reserve addresses for " + name, Call: "mmap", Size: size + Align, Err: err})
	}
	r := aligned(mapping, size)
	r.trim()
	setName(r.mapping, r.mappingSize, name)
	return r, nil
}

// trim gives back what lies around the aligned range: it would be mappings of its own.
// What the system does not take stays until Unmap.
func (r *Range) trim() {
	if before := uintptr(r.Base) - uintptr(r.mapping); before > 0 && unmapPart(r.mapping, before) == nil {
		r.mapping, r.mappingSize = r.Base, r.mappingSize-before
	}
	end := unsafe.Add(r.Base, r.Size)
	if behind := uintptr(r.mapping) + r.mappingSize - uintptr(end); behind > 0 && unmapPart(end, behind) == nil {
		r.mappingSize -= behind
	}
}

// unmapPart gives back addresses at an end of a mapping.
func unmapPart(address unsafe.Pointer, size uintptr) error {
	if err := fault.Before("munmap"); err != nil {
		return err
	}
	return unix.MunmapPtr(address, size)
}

// mapNothing makes a mapping that nobody can touch.
func mapNothing(size uintptr) (unsafe.Pointer, error) {
	if err := fault.Before("mmap"); err != nil {
		return nil, err
	}
	return unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|noReserve)
}

// CanRelease tells whether Release returns memory to the system.
const CanRelease = true

// PageSize returns the size of an OS page in bytes.
func PageSize() uintptr { return uintptr(unix.Getpagesize()) }

// Back makes the first size bytes of the range usable, rounded up to Granule.
// New bytes are zero. They take memory when they are touched, or at once if the range is
// locked in memory.
func (r *Range) Back(size uintptr) error {
	size = min((size+Granule-1)&^(Granule-1), r.Size)
	if size <= r.Backed {
		return nil
	}
	err := fault.Before("mprotect")
	if err == nil {
		err = unix.Mprotect(r.Bytes(r.Backed, size-r.Backed), unix.PROT_READ|unix.PROT_WRITE)
	}
	if err != nil {
		return &CallError{Action: "back", Call: "mprotect", Size: size - r.Backed, Err: err}
	}
	r.Backed = size
	return nil
}

// Release returns the memory behind size bytes at offset to the system and
// keeps the addresses usable. OS pages that lie only partly in these bytes
// stay. It reports how many bytes were returned and whether all of the bytes
// read as zero now. After an error some may have been returned all the same: the kernel
// does one mapping after the other, and locking a part makes that a mapping of its own.
func (r *Range) Release(offset, size uintptr) (returned uintptr, zeroed bool, err error) {
	page := PageSize()
	first, end := (offset+page-1)&^(page-1), (offset+size)&^(page-1)
	if first >= end {
		return 0, false, nil
	}
	if err := r.release(first, end, releaseAtOnce()); err != nil {
		return 0, false, &CallError{Action: releaseAction, Call: "madvise", Size: end - first, Err: err}
	}
	return end - first, ReleaseZeroes && end-first == size, nil
}

// releaseAction is what a CallError of Release tells.
const releaseAction = "release"

// release returns whole OS pages, at most so many bytes with one call.
func (r *Range) release(first, end, most uintptr) error {
	for first < end {
		piece := min(end-first, most)
		err := fault.Before("madvise")
		if err == nil {
			err = dontNeed(r.Bytes(first, piece))
		}
		if err != nil {
			return err
		}
		first += piece
	}
	return nil
}

// Unmap gives the whole range back. The range is empty afterwards, or after an
// error as it was.
func (r *Range) Unmap() error {
	if r.Size == 0 {
		return nil
	}
	if err := unmapPart(r.mapping, r.mappingSize); err != nil {
		return &CallError{Action: "unmap", Call: "munmap", Size: r.mappingSize, Err: err}
	}
	*r = Range{}
	return nil
}
