package rseq

// Offsets and ends of the fields of struct rseq (include/uapi/linux/rseq.h).
// A field exists when the feature size covers its end.
const (
	OffsetCPUIDStart = 0
	OffsetCPUID      = 4
	OffsetCS         = 8
	OffsetFlags      = 16
	OffsetNodeID     = 20
	OffsetMMCID      = 24
	OffsetSliceCtrl  = 28

	EndCPUID  = OffsetCPUID + 4
	EndFlags  = OffsetFlags + 4
	EndNodeID = OffsetNodeID + 4
	EndMMCID  = OffsetMMCID + 4
)

const (
	// MinLength is the shortest length that any kernel registers, in bytes.
	MinLength = 32

	// OriginalSize is the feature size of the kernels (4.18 to 6.2) that do
	// not tell one in the auxiliary vector, in bytes: all up to flags.
	OriginalSize = EndFlags

	// NoID is what an id field holds while the kernel has not written it.
	NoID = ^uint32(0)
)

// Words of an area that are ours, at negative offsets from the kernel's part.
const (
	ownSize     = 64 // bytes before the kernel's part; a cache line
	OffsetOwner = -64
	offsetTID   = -56
)

// Owner tells who registered the areas of this process's threads.
type Owner uint8

const (
	None Owner = iota // nobody, or nobody whose area can be found
	Self              // this package, thread by thread
	Libc              // the C library, for every thread it starts
)

func (o Owner) String() string {
	switch o {
	case Self:
		return "self"
	case Libc:
		return "libc"
	}
	return "none"
}

// Ground is what was found out about this process. It never changes.
type Ground struct {
	Owner       Owner
	KernelSize  int     // AT_RSEQ_FEATURE_SIZE in bytes; 0 where the kernel gives none
	KernelAlign int     // AT_RSEQ_ALIGN in bytes; 0 likewise
	Registered  int     // length of the registered areas in bytes; 0 with None
	LibcOffset  uintptr // area minus thread pointer, with Libc
	Reason      string  // why Owner is None, in words for the user; else empty
}

// Size returns how many bytes of the area the kernel fills in.
func (g *Ground) Size() int {
	kernel := g.KernelSize
	if kernel == 0 {
		kernel = OriginalSize
	}
	return min(kernel, g.Registered)
}

// ThreadStats counts areas, for diagnosis.
type ThreadStats struct {
	Registrations uint64 // threads that the kernel accepted
	Refused       uint64 // threads that it refused
	Areas         int    // areas ever made
	Free          int    // of those, not with a thread
}
