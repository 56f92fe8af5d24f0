package rseqcs

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Blocks is the whole fast path of an allocator as three sections: a size
// becomes a class, the class a block of this vCPU's magazine, and the block a
// slice; and back. A caller that has Alloc, AllocZeroed and Free inlined makes
// one indirect call, with arguments and results in registers.
//
// What a section cannot serve, it hands to the func value of Slow, by a jump:
// an empty or full magazine, a thread without an area, any request and any
// address that is out of the ordinary, and whatever was aborted once. So a
// function of Slow sees the arguments of the call and returns its results.
//
// All methods but Open and Close may be called from any goroutine.
type Blocks struct {
	// Open and Close write all fields. What the sections read of them for every
	// call fills one cache line, together with the lines of the tables below.

	// Alloc returns a block for n bytes: a slice of that length whose capacity is
	// the size of its class. AllocZeroed clears all of it. Their first argument is
	// the Blocks itself: as methods they would be too long for the compiler to
	// inline into the methods of an allocator.
	Alloc, AllocZeroed allocFunc

	// Free takes a block back. The slice starts where the block starts; its length
	// does not matter, and if its capacity is not the one that Alloc gave, Slow
	// serves the call.
	Free freeFunc

	slabs  unsafe.Pointer // of the magazines: the row that run works on
	origin unsafe.Pointer // first address of the range that blocks lie in
	pages  uintptr        // pages of the range; atomic, see RefuseFree
	checks unsafe.Pointer // *CheckWord: one for each page of the range

	slowAlloc, slowAllocZeroed       allocFunc
	slowFree                         freeFunc
	carriedAlloc, carriedAllocZeroed allocFunc // serve a call whose bytes carry the countdown over

	classes *ClassTable
	pageMap unsafe.Pointer // *PageEntry: one for each page of the range

	starts [MaxClasses]startTest              // by class, or at twice the offset of its header
	fine   [FineUpTo>>FineShift + 1]fineEntry // by the multiple of 1<<FineShift that a size is rounded up to
}

// fineEntry is what alloc and free need of a class.
type fineEntry struct {
	header uint16 // offset of its header in a slab
	size   uint16 // bytes
}

type (
	allocFunc = func(b *Blocks, n int) ([]byte, error)
	freeFunc  = func(b *Blocks, block []byte)
)

// Slow is what serves the calls that the sections cannot. The first argument of
// each is the Blocks that was called.
type Slow struct {
	Alloc, AllocZeroed func(b *Blocks, n int) ([]byte, error)
	Free               func(b *Blocks, block []byte)
}

const (
	// FineShift and CoarseShift are the steps in which sizes are looked up, as
	// powers of two in bytes: up to FineUpTo bytes the fine one.
	FineUpTo    = 1024
	FineShift   = 3
	CoarseShift = 7

	// MaxSmall is the largest size of a class in bytes.
	MaxSmall = 256 << 10

	// clearInLoop is up to which size amd64 clears a block with a loop, in bytes;
	// above, the processor's own instruction is faster (48 against 71 ns at 2 KiB,
	// 105 against 94 at 4 KiB).
	clearInLoop = 2048

	// PageShift is the size of a page of the page map as a power of two, in bytes.
	PageShift = 13
	pageMask  = 1<<PageShift - 1
)

// ClassTable describes the size classes, of which there are at most MaxClasses.
// Class 0 is no class: all of it is zero. All sizes are multiples of 8, and
// above FineUpTo of 128.
//
//	factor = ceil(2^64 / size), so that offset * factor wraps to
//	         offset / size * (size * factor - 2^64) where offset is a multiple of
//	         size, and to factor or more elsewhere
//	bound  = what the first offset behind the last object of a span wraps to, and
//	         1 for powers of two, which leave no tail and all of whose multiples
//	         wrap to zero
type ClassTable struct {
	Fine    [FineUpTo>>FineShift + 1]uint8   // class by the multiple of 1<<FineShift that a size is rounded up to
	Coarse  [MaxSmall>>CoarseShift + 1]uint8 // likewise
	Sizes   [256]uint32                      // bytes; the index is a uint8, for want of a bounds check
	Factors [256]uint64
	Bounds  [256]uint64
}

// Of returns the class for n bytes: for n outside of [1, MaxSmall] it is 0.
func (t *ClassTable) Of(n int) uint8 {
	if uint(n) <= FineUpTo {
		return t.Fine[(uint(n)+1<<FineShift-1)>>FineShift]
	}
	if uint(n) <= MaxSmall {
		return t.Coarse[(uint(n)+1<<CoarseShift-1)>>CoarseShift]
	}
	return 0
}

// PageEntry tells what lies on a page: the class of its objects, and which page
// of its span it is.
//
//	class | index << PageShift
//
// Class 0 is on pages where no object lies; those above MaxClasses are for marks
// of the caller.
type PageEntry uint32

// EntryOf returns the entry of a page of a span, the first of which has index 0.
func EntryOf(class uint8, index uint32) PageEntry {
	return PageEntry(class) | PageEntry(index)<<PageShift
}

// Class returns the class of the objects on the page.
func (e PageEntry) Class() uint8 { return uint8(e) }

// Index returns which page of its span it is.
func (e PageEntry) Index() uint32 { return uint32(e) >> PageShift }

// starts reports whether an object of the class starts at an offset from the
// origin whose page has the entry e. No object is of class 0.
func (t *ClassTable) starts(offset uintptr, e PageEntry, class uint8) bool {
	other := uint64(e ^ PageEntry(class))
	return other&pageMask == 0 && (other|uint64(offset&pageMask))*t.Factors[class] < t.Bounds[class]
}

// Range is the addresses that blocks lie in, and what tells where.
type Range struct {
	Origin  unsafe.Pointer // a multiple of 1<<OriginShift
	Size    uintptr        // bytes, a multiple of the page size
	Entries *PageEntry     // of the first page; one for each
	Checks  *CheckWord     // likewise
}

// Open makes b serve blocks of the classes of stack, which lie in the range. It panics
// for a range that the sections cannot work with.
func (b *Blocks) Open(stack *Stack, classes *ClassTable, r Range, slow Slow) {
	if uintptr(r.Origin)&(1<<OriginShift-1) != 0 || r.Size&pageMask != 0 {
		panic(fmt.Sprintf("rseqcs: a range of %d bytes at %p: the address must be a multiple of %d, the size of %d", r.Size, r.Origin, 1<<OriginShift, 1<<PageShift))
	}
	*b = Blocks{
		Alloc: run.alloc, AllocZeroed: run.allocZeroed, Free: run.free,
		slabs: stack.base, origin: r.Origin, pages: r.Size >> PageShift, checks: unsafe.Pointer(r.Checks),
		slowAlloc: slow.Alloc, slowAllocZeroed: slow.AllocZeroed, slowFree: slow.Free,
		carriedAlloc: allocCarried, carriedAllocZeroed: allocZeroedCarried,
		classes: classes, pageMap: unsafe.Pointer(r.Entries),
	}
	for i, class := range classes.Fine {
		b.fine[i] = fineEntry{uint16(class) * headerSize, uint16(classes.Sizes[class])}
	}
	for class := range b.starts {
		b.starts[class] = classes.startTestOf(uint8(class), noOwner)
	}
}

// RefuseFree leads all later calls of Free to Slow. It may run at any time, and a
// call that has begun may still be served.
func (b *Blocks) RefuseFree() {
	atomic.StoreUintptr(&b.pages, 0) // what the sections and the methods look at
}

// Close leads all later calls to Slow. No other method may run meanwhile.
func (b *Blocks) Close() {
	b.Alloc, b.AllocZeroed, b.Free = b.slowAlloc, b.slowAllocZeroed, b.slowFree
	b.RefuseFree()
}

// ClassAt returns the class of the object that starts at address, or 0 where no
// object can start.
func (b *Blocks) ClassAt(address unsafe.Pointer) uint8 {
	offset := b.OffsetOf(address)
	if offset>>PageShift >= atomic.LoadUintptr(&b.pages) {
		return 0
	}
	e := *b.PageAt(offset >> PageShift)
	if !b.classes.starts(offset, e, e.Class()) {
		return 0
	}
	return e.Class()
}

// Starts reports whether an object of the class starts at address. The processor
// need not wait for the check map when the class is guessed right: see
// docs/decisions/class-guess.md.
func (b *Blocks) Starts(class uint8, address unsafe.Pointer) bool {
	if class == 0 || class >= MaxClasses {
		return false
	}
	page := b.OffsetOf(address) >> PageShift
	return page < atomic.LoadUintptr(&b.pages) && b.starts[class].accepts(address, *b.checkAt(page))
}

// Gather puts the addresses of the leading blocks of a list into an array, as long
// as each is a block of the class with the capacity that Alloc gave it, and not
// the one before it once more, and returns how many there are.
func (b *Blocks) Gather(class uint8, blocks [][]byte, into []unsafe.Pointer) (count int) {
	size, test := int(b.classes.Sizes[class]), b.starts[class%MaxClasses]
	last, end := unsafe.Pointer(nil), atomic.LoadUintptr(&b.pages)
	for i := range min(len(blocks), len(into)) {
		p := unsafe.Pointer(unsafe.SliceData(blocks[i]))
		page := b.OffsetOf(p) >> PageShift
		if cap(blocks[i]) != size || page >= end || p == last || !test.accepts(p, *b.checkAt(page)) {
			return i
		}
		into[i] = p
		last = p
	}
	return min(len(blocks), len(into))
}

// OffsetOf returns how far an address lies in the range; for an address outside
// it is at least the size of the range.
func (b *Blocks) OffsetOf(address unsafe.Pointer) uintptr {
	return uintptr(address) - uintptr(b.origin)
}

// PageAt returns the entry of a page, by its number from the origin.
func (b *Blocks) PageAt(page uintptr) *PageEntry {
	return (*PageEntry)(unsafe.Add(b.pageMap, page*unsafe.Sizeof(PageEntry(0))))
}

func (b *Blocks) checkAt(page uintptr) *CheckWord {
	return (*CheckWord)(unsafe.Add(b.checks, page*unsafe.Sizeof(CheckWord(0))))
}

// allocCarried and allocZeroedCarried serve a call whose section has found that the
// countdown of its slab carries over: they wind it back.
func allocCarried(b *Blocks, n int) ([]byte, error) {
	resetCountdown(b.slabs)
	return b.slowAlloc(b, n)
}

func allocZeroedCarried(b *Blocks, n int) ([]byte, error) {
	resetCountdown(b.slabs)
	return b.slowAllocZeroed(b, n)
}

// resetCountdown makes the countdown of the slab that the running thread works on as
// far as it goes. If the thread works on another slab by then, that one is reset
// instead, and the next call on the first one carries over again.
func resetCountdown(base unsafe.Pointer) {
	if id := idHere(); uint(id) < uint(atomic.LoadUint32(rowCount(base))) {
		atomic.StoreUint64(countdownAt(slabAt(base, id)), 0)
	}
}

// The sections of Blocks in parts: for architectures without assembly, and where
// the toolchain passes arguments in other registers than the assembly expects. They do not
// count down.

func allocInParts(b *Blocks, n int) ([]byte, error) {
	p, class, length := run.pop(b.slabs, uintptr(b.classes.Of(n)), uintptr(n))
	if p == nil {
		return b.slowAlloc(b, n)
	}
	return unsafe.Slice((*byte)(p), b.classes.Sizes[uint8(class)])[:length], nil
}

func allocZeroedInParts(b *Blocks, n int) ([]byte, error) {
	p, class, length := run.pop(b.slabs, uintptr(b.classes.Of(n)), uintptr(n))
	if p == nil {
		return b.slowAllocZeroed(b, n)
	}
	block := unsafe.Slice((*byte)(p), b.classes.Sizes[uint8(class)])
	clear(block)
	return block[:length], nil
}

func freeInParts(b *Blocks, block []byte) {
	class, p := b.classes.Of(cap(block)), unsafe.Pointer(unsafe.SliceData(block))
	if b.Starts(class, p) {
		if outcome, _, _, _ := run.push(b.slabs, uintptr(class), p, nil); outcome == pushed {
			return
		}
	}
	b.slowFree(b, block)
}
