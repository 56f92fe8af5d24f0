//go:build amd64 || arm64

package rseqcs

import (
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/regcall"
	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Variants and sections, in the order of the tables in variants_*.h.
const (
	selfMMCID = iota
	selfCPUID
	libcMMCID
	libcCPUID
	byP
	variantCount
)

const (
	popSection = iota
	pushSection
	popBatchSection
	pushBatchSection
	setHeaderSection
	addSection
	allocSection
	allocZeroedSection
	freeSection
	getSection
	putSection
	sectionCount
)

const (
	signature   = rseq.Signature
	offsetOwner = rseq.OffsetOwner
	offsetOfM   = rseq.OffsetOfM
)

var (
	// libcOffset is the distance from the thread pointer to libc's area.
	libcOffset uintptr

	// offsetOfP is where an M has its P, in bytes.
	offsetOfP uintptr

	// aborts counts the aborts of all sections; the assembly adds to it.
	aborts uint64
)

func sectionTable() *[variantCount][sectionCount]unsafe.Pointer
func sectionDescriptors() *[variantCount][sectionCount]rseq.Descriptor

// pinnedOperations returns the sections that find their slab by the P, or,
// where this Go release hides it, the same operations in Go.
func pinnedOperations() operations {
	place, ok := procpin.FindPlace()
	if !ok || !regcall.Works() {
		return assigned
	}
	offsetOfP = place.M
	return registerCalls(&sectionTable()[byP])
}

// sectionOperations fills in the descriptors of the variant that fits and
// returns its sections as func values.
func sectionOperations(features vcpu.Features) operations {
	variant := selfMMCID
	if features.Owner == rseq.Libc.String() {
		variant = libcMMCID
	}
	if features.Mode == vcpu.CPUID {
		variant++
	}
	libcOffset = rseq.Find().LibcOffset
	entries := &sectionTable()[variant]
	for i, entry := range entries {
		descriptor, err := rseq.Describe(entry)
		if err != nil {
			// The code of this very binary is not what its source says.
			panic(err)
		}
		sectionDescriptors()[variant][i] = descriptor
	}
	if regcall.Works() {
		return registerCalls(entries)
	}
	return stackCalls(entries)
}

// registerCalls returns the sections with their arguments in registers.
func registerCalls(entries *[sectionCount]unsafe.Pointer) operations {
	return operations{
		pop:       regcall.Of[popFunc](entries[popSection]),
		push:      regcall.Of[pushFunc](entries[pushSection]),
		popBatch:  regcall.Of[func(unsafe.Pointer, uintptr, unsafe.Pointer, uintptr) uintptr](entries[popBatchSection]),
		pushBatch: regcall.Of[func(unsafe.Pointer, uintptr, unsafe.Pointer, uintptr) uintptr](entries[pushBatchSection]),
		setHeader: regcall.Of[func(unsafe.Pointer, uintptr, unsafe.Pointer, uint64) uintptr](entries[setHeaderSection]),
		add:       regcall.Of[func(unsafe.Pointer, int64) uintptr](entries[addSection]),

		alloc:       regcall.Of[allocFunc](entries[allocSection]),
		allocZeroed: regcall.Of[allocFunc](entries[allocZeroedSection]),
		free:        regcall.Of[freeFunc](entries[freeSection]),
		get:         regcall.Of[getFunc](entries[getSection]),
		put:         regcall.Of[putFunc](entries[putSection]),
	}
}

// stackCalls returns the sections behind an ABI0 call.
func stackCalls(entries *[sectionCount]unsafe.Pointer) operations {
	return operations{
		pop: func(base unsafe.Pointer, class, carried uintptr) (unsafe.Pointer, uintptr, uintptr) {
			return regcall.Call(entries[popSection], base, class, nil, 0), class, carried
		},
		push: func(base unsafe.Pointer, class uintptr, object, carried unsafe.Pointer) (uintptr, uintptr, unsafe.Pointer, unsafe.Pointer) {
			return uintptr(regcall.Call(entries[pushSection], base, class, object, 0)), class, object, carried
		},
		popBatch: func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr {
			return uintptr(regcall.Call(entries[popBatchSection], base, class, into, count))
		},
		pushBatch: func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr {
			return uintptr(regcall.Call(entries[pushBatchSection], base, class, from, count))
		},
		setHeader: func(base unsafe.Pointer, class uintptr, _ unsafe.Pointer, value uint64) uintptr {
			return uintptr(regcall.Call(entries[setHeaderSection], base, class, nil, uintptr(value)))
		},
		add: func(cells unsafe.Pointer, delta int64) uintptr {
			return uintptr(regcall.Call(entries[addSection], cells, uintptr(delta), nil, 0))
		},
		alloc: allocInParts, allocZeroed: allocZeroedInParts, free: freeInParts,
		get: getInParts, put: putInParts,
	}
}
