package vcpu

import "github.com/vcpualloc/vcpualloc/internal/rseq"

// Field is a field of struct rseq by its place in the kernel's ABI
// (include/uapi/linux/rseq.h). A program may name one that is younger than this
// library:
//
//	future := vcpu.Field{Offset: 40, Size: 4}
//
// A field whose Size is not 1, 2, 4 or 8, or whose Offset is negative, is never there.
type Field struct {
	Offset int // in bytes, from the start of struct rseq
	Size   int // in bytes: 1, 2, 4 or 8
}

// The fields that this library knows by name. Linux 4.18 has those up to FieldFlags, 6.3
// has FieldNodeID and FieldMMCID, 7.0 FieldSliceCtrl.
var (
	FieldCPUIDStart = Field{rseq.OffsetCPUIDStart, 4} // a CPU number, 0 while not registered
	FieldCPUID      = Field{rseq.OffsetCPUID, 4}      // the CPU number
	FieldFlags      = Field{rseq.OffsetFlags, 4}      // written by the program; 0
	FieldNodeID     = Field{rseq.OffsetNodeID, 4}     // the NUMA node of the CPU
	FieldMMCID      = Field{rseq.OffsetMMCID, 4}      // the concurrency id in this process
	FieldSliceCtrl  = Field{rseq.OffsetSliceCtrl, 4}  // a longer time slice: byte 0 requested, byte 1 granted
)

// End returns the offset in bytes of the first byte behind f, offsetofend of the kernel,
// for Features.Has. It is 0, for which Has is false, for a field that is never there.
func (f Field) End() int {
	switch f.Size {
	case 1, 2, 4, 8:
		if end := f.Offset + f.Size; f.Offset >= 0 && end > 0 {
			return end
		}
	}
	return 0
}

// Read returns the value of field f of the running thread, zero-extended, as it was at
// one instant of the call; the goroutine may be on another thread, and the thread on
// another CPU, when Read returns. It reads exactly f.Size bytes, and registers a thread
// that is new.
//
// ok is false where the kernel does not fill the field in (Features.Has of its End says
// the same), where this thread cannot be registered, and under VCPUALLOC_MODE=assigned,
// which leaves rseq alone. It may be called from any goroutine.
func Read(f Field) (value uint64, ok bool) {
	if end := f.End(); end == 0 || end > indexHere().filled {
		return 0, false
	}
	for range readTries {
		if value, ok = rseq.Value(uintptr(f.Offset), uintptr(f.Size)); ok {
			return value, true
		}
		if !rseq.EnsureThread() {
			break
		}
	}
	return 0, false
}

// readTries bounds how often Read and Where follow a goroutine that changes threads.
const readTries = 3
