package rseqcs

import (
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// The layout of the slabs, known to the assembly through go_asm.h. There are two
// rows of them, one for the vCPUs and one for the Ps, each with a base. In bytes
// from a base:
//
//	controlCount      a control word; the word right below the base stays zero
//	id << slabShift   the slab of an id: headers, the countdown, then the slots
//
// A header is two 32-bit words: current, the offset in the slab of the first
// free slot, and end, the offset at which the class is full. A zero header is
// one that nobody has set up: its current is not above its end, so nothing can
// be pushed, and the word below offset 0 is zero, so nothing can be popped.
//
// The countdown is a 64-bit word behind the headers of MaxClasses classes. The sections
// alloc and allocZeroed add the bytes that were asked for to it, in front of their
// commit; where the sum carries over, they take nothing and leave the call to the slow
// path, which winds the word back. So zero, as in a slab that was never used, is 2^64
// bytes away from that. A section that is aborted behind its store counts twice, and
// the forms in Go (blocks.go, in parts) do not count.
const (
	slabShift = 18
	slabSize  = 1 << slabShift

	controlCount = -64 // uint32: number of ids; one at or above it has no slab

	headerSize = 8
	slotSize   = 8

	offsetCountdown = MaxClasses * headerSize // in a slab
	offsetSlots     = offsetCountdown + 8     // likewise: of the first class

	// MaxClasses is how many classes a Stack can have.
	MaxClasses = 128
)

// Cells of a counter.
const (
	cellShift = 7
	cellSize  = 1 << cellShift // bytes: two cache lines, since amd64 fetches pairs
)

const (
	// maxRestarts is after how many aborts in a row a section gives up and the
	// caller takes its slow path, so that a debugger that single-steps or a
	// storm of signals cannot hold it up for ever.
	maxRestarts = 100

	// pushTries is how often Push and PushBatch set a class up and then find again
	// that they are not served. That happens once when the thread has moved in
	// between to where the class is not set up either, and every time while the
	// Stack is being drained.
	pushTries = 10

	// minPs is for how many Ps there is a slab at least where all work by their P, so
	// that GOMAXPROCS can be raised later. A P beyond them works without one.
	minPs = 64
)

// Results of push.
const (
	pushed = iota
	full   // a header that is set up has no room
	duplicate

	// unserved, of pushBatch too, says nothing about the room: the section has found
	// no slab or no header that is set up, or has given up.
	unserved = 1 << 31
)

// The index of a P is its first word (internal/procpin, Place).
const offsetP = 0

// Results of setHeader and add.
const (
	kept = iota
	stored
)

// The fields of a check word, from bit 0 up: see CheckOf.
const (
	// OriginShift is of what the origin of a range is a multiple, as a power of two:
	// within 64 KiB, 16 bits of an address tell the page and the offset in it.
	OriginShift = 16

	// SlackBits holds what the starts of one class differ by: no span's Bounds is
	// larger than 1<<SlackBits. A table for which this is not true fails in
	// startTestOf, and one for which fewer would do in a test of package arena.
	SlackBits = 18

	guardBit    = SlackBits // always 0
	ownerShift  = guardBit + 1
	ownerBits   = headerShift - ownerShift // who owns the span
	headerShift = 35

	// noOwner is the owner of all spans until there are others.
	noOwner = 0
)

// What the assembly needs of internal/rseq.
const (
	offsetCPUID = rseq.OffsetCPUID
	offsetCS    = rseq.OffsetCS
	offsetMMCID = rseq.OffsetMMCID
)

// A slab holds its headers, and the offsets fit a header's words.
const (
	_ uint = slabSize - offsetSlots
	_ uint = 1<<31 - slabSize
)

// The sections of arm64 load these fields in pairs, each right behind the other.
var (
	_ = [1]int{}[unsafe.Offsetof(Blocks{}.origin)-unsafe.Offsetof(Blocks{}.slabs)-wordSize]
	_ = [1]int{}[unsafe.Offsetof(Blocks{}.checks)-unsafe.Offsetof(Blocks{}.pages)-wordSize]
	_ = [1]int{}[unsafe.Offsetof(Single{}.origin)-unsafe.Offsetof(Single{}.slabs)-wordSize]
	_ = [1]int{}[unsafe.Offsetof(Single{}.checks)-unsafe.Offsetof(Single{}.pages)-wordSize]
	_ = [1]int{}[unsafe.Offsetof(startTest{}.want)-unsafe.Offsetof(startTest{}.factor)-8]
)

const wordSize = unsafe.Sizeof(uintptr(0)) // bytes
