// Package osmem is memory from the operating system, outside the Go heap:
// address space is reserved first, backed as it is needed, and released without
// giving up the addresses.
//
// Nothing here unmaps or protects the middle of a mapping, so that a
// reservation costs at most three kernel mappings however it is used.
package osmem

import "unsafe"

// Granule is the unit in which memory is backed, in bytes: a multiple of every
// OS page size that Linux has on amd64 and arm64.
const Granule = 64 << 10

// Align is the alignment of every range, in bytes: a huge page, so that a range
// and the pages that its user makes of it can be backed by them.
const Align = 2 << 20

// aligned returns the range of size bytes inside a mapping of size + Align.
func aligned(mapping unsafe.Pointer, size uintptr) Range {
	return Range{
		Base:        unsafe.Add(mapping, -uintptr(mapping)&(Align-1)),
		Size:        size,
		mapping:     mapping,
		mappingSize: size + Align,
	}
}

// Range is a reserved range of addresses, of which a prefix is backed.
type Range struct {
	Base   unsafe.Pointer
	Size   uintptr // bytes reserved
	Backed uintptr // bytes from Base on that may be used; grows only

	mapping     unsafe.Pointer // what the system gave, of which Base is the first aligned address
	mappingSize uintptr
}

// Bytes returns size bytes at offset of the range.
func (r *Range) Bytes(offset, size uintptr) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(r.Base, offset)), size)
}
