//go:build amd64 || arm64

package rseq

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// Descriptor is struct rseq_cs: where a critical section starts, how long it
// is, and where the kernel sends a thread that it interrupts inside. The kernel
// wants it 32-byte aligned, with version and flags zero.
type Descriptor struct {
	Version, Flags   uint32
	Start            uint64
	PostCommitOffset uint64
	Abort            uint64
}

// Anchors stand behind the code of every section: this mark, then three jumps
// that never run, to the first instruction of the section, to the one after
// its commit and to its abort label. So the descriptor is computed from the
// code and the two cannot drift.
var anchorMark = [8]byte{'a', 'n', 'c', 'h', 'o', 'r', 's', ':'}

// maxSectionCode bounds the code of one section with its anchors, in bytes.
const maxSectionCode = 1024

// Describe returns the descriptor of the section whose function starts at
// entry, and an error if what the anchors say cannot be a section.
func Describe(entry unsafe.Pointer) (Descriptor, error) {
	code := unsafe.Slice((*byte)(entry), maxSectionCode)
	return describe(code, uint64(uintptr(entry)))
}

func describe(code []byte, base uint64) (Descriptor, error) {
	at := 0
	for ; [8]byte(code[at:]) != anchorMark; at++ {
		if at+len(anchorMark)+24 >= len(code) {
			return Descriptor{}, errors.New("rseq: a section without anchors")
		}
	}
	at += len(anchorMark)
	var targets [3]int // start, after the commit, abort
	for i := range targets {
		target, size, err := decodeJump(code, at)
		if err != nil {
			return Descriptor{}, err
		}
		targets[i] = target
		at += size
	}
	start, end, abort := targets[0], targets[1], targets[2]
	switch {
	case start <= 0 || end <= start || abort < 4 || abort >= at:
		return Descriptor{}, errors.New("rseq: the anchors of a section do not lie in its code")
	case abort >= start && abort < end:
		return Descriptor{}, errors.New("rseq: an abort label inside of its section")
	case binary.LittleEndian.Uint32(code[abort-4:]) != Signature:
		return Descriptor{}, errors.New("rseq: an abort label without the signature before it")
	}
	return Descriptor{
		Start:            base + uint64(start),
		PostCommitOffset: uint64(end - start),
		Abort:            base + uint64(abort),
	}, nil
}
