// Package osmem is memory from the operating system, outside the Go heap:
// address space is reserved first, backed as it is needed, and released without
// giving up the addresses.
//
// Nothing here unmaps or protects the middle of a mapping, so that a
// reservation costs at most two kernel mappings however it is used; binding its parts
// to nodes, two for each part.
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

// Part returns a range of its own that is a part of r: what it backs is its own, and
// r is never to back anything. The space before r's first address and behind its
// last goes with the parts that begin and end there, so that binding all parts makes
// no mapping that they have not. Only r is unmapped, with all of its parts.
func (r *Range) Part(offset, size uintptr) Range {
	part := Range{Base: unsafe.Add(r.Base, offset), Size: size}
	part.mapping, part.mappingSize = part.Base, size
	if offset == 0 {
		before := uintptr(r.Base) - uintptr(r.mapping)
		part.mapping, part.mappingSize = r.mapping, before+size
	}
	if offset+size == r.Size {
		part.mappingSize = uintptr(r.mapping) + r.mappingSize - uintptr(part.mapping)
	}
	return part
}

// HugeInfo is what the system has of transparent huge pages.
type HugeInfo struct {
	Size   uintptr // of one, in bytes
	Always bool    // it makes them of all that is touched, asked or not
}

// Binding is how the system is to choose NUMA nodes for a range.
type Binding int

const (
	Prefer    Binding = iota // the node, while it has memory; else others
	Alternate                // the nodes in turn, OS page by OS page
)

// Bytes returns size bytes at offset of the range.
func (r *Range) Bytes(offset, size uintptr) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(r.Base, offset)), size)
}
