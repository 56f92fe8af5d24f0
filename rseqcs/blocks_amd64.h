// The sections of Blocks, amd64. They are Go functions to their callers: they
// return what blocks.go declares, or go on, by a jump with all arguments in
// place, at the func value that serves what they cannot. There they go after an
// abort, too: it is rare, and the slow path runs sections that start again.
//
//	register  holds                                                live from, to
//	AX        *Blocks; then the block                              entry, commit, end
//	BX        length asked for; of free: address of the block      entry, end
//	CX        class, then size; of free: length                    CLASS, end; entry, end
//	DI        base of the slabs; of free: capacity                 TAKE, commit; entry, end
//	R8        area                                                 BEGIN, id read
//	R9        descriptor, id, then slab; of free: page before      BEGIN, commit
//	R10       table of the classes; of free: then base of the slabs  entry, end
//	R11       current; of free: offset in the span before          its load, commit
//	R12       object; of free: class                               its load, end
//	R13       offset of free, scratch of POINT and ABORT
//	DX, SI    of POINT                                             stalled build only

// CLASS leaves the class of n bytes in class: what the coarse table holds is
// looked up out of line, by COARSE, and n that has no class leaves for none or
// gets class 0, of which there are no objects.
#define CLASS(n, class) \
	LEAQ 7(n), class; \
	CMPQ n, $const_FineUpTo; \
	JHI  coarse; \
	SHRQ $const_FineShift, class; \
	MOVBLZX ClassTable_Fine(R10)(class*1), class; \
found:

#define COARSE(n, class) \
coarse: \
	CMPQ n, $const_MaxSmall; \
	JHI  none; \
	ADDQ $(1<<const_CoarseShift - 1<<const_FineShift), class; \
	SHRQ $const_CoarseShift, class; \
	MOVBLZX ClassTable_Coarse(R10)(class*1), class; \
	JMP  found

// TAKE pops a block for BX bytes and returns it as a slice in AX, BX and CX with
// a nil error in DI and SI. It fetches the line of the block that comes next, or
// of address 0, which is no fault.
#define TAKE(descriptor) \
	MOVQ  Blocks_classes(AX), R10; \
	MOVQ  Blocks_slabs(AX), DI; \
	CLASS(BX, CX) \
	BEGIN(descriptor, DI, const_slabShift); \
	MOVL  (R9)(CX*8), R11; \
	POINT(4); \
	MOVQ  -8(R9)(R11*1), R12; \
	TESTQ R12, R12; \
	JEQ   none; \
	SUBL  $8, R11; \
	POINT(5); \
	MOVL  R11, (R9)(CX*8); /* COMMIT */ \
committed: \
	POINT(9); \
	MOVQ  -8(R9)(R11*1), R13; \
	PREFETCHT0 (R13); \
	MOVL  ClassTable_Sizes(R10)(CX*4), CX; \
	MOVQ  R12, AX; \
	XORL  DI, DI; \
	XORL  SI, SI

// ELSE ends a function: with the jump to the func value slow, and with ABORT.
// DX is where a func value expects its own address.
#define ELSE(slow) \
none: \
	MOVQ slow(AX), DX; \
	MOVQ (DX), R13; \
	JMP  R13; \
	SIGNATURE; \
abort: \
	ABORTED; \
	LEAQ ·aborts(SB), R13; \
	LOCK; \
	INCQ (R13); \
	JMP  none; \
	ANCHORS; \
	JMP  start; \
	JMP  committed; \
	JMP  abort

// allocFunc: returns a block for BX bytes.
TEXT ALLOC(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_allocSection)
	TAKE(ALLOC_DESCRIPTOR)
	RET
	COARSE(BX, CX)
	ELSE(Blocks_slowAlloc)

// allocFunc: returns a block for BX bytes, all of it zero.
TEXT ALLOC_ZEROED(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_allocZeroedSection)
	TAKE(ALLOC_ZEROED_DESCRIPTOR)
	CMPQ CX, $64
	JCS  short
	CMPQ CX, $const_clearInLoop
	JHI  long
	// Whole lines, the last one from the end. X15 is zero in Go's convention.
	LEAQ -64(AX)(CX*1), R13
	JMP  lines
line:
	MOVUPS X15, (R12)
	MOVUPS X15, 16(R12)
	MOVUPS X15, 32(R12)
	MOVUPS X15, 48(R12)
	ADDQ   $64, R12
lines:
	CMPQ   R12, R13
	JCS    line
	MOVUPS X15, (R13)
	MOVUPS X15, 16(R13)
	MOVUPS X15, 32(R13)
	MOVUPS X15, 48(R13)
	RET
short:
	// Words, from the end: every size is a multiple of 8.
	MOVQ CX, R13
word:
	MOVQ $0, -8(AX)(R13*1)
	SUBQ $8, R13
	JNE  word
	RET
long:
	MOVQ AX, DI
	MOVQ CX, R13
	SHRQ $3, CX
	XORL AX, AX
	REP
	STOSQ
	MOVQ R12, AX
	MOVQ R13, CX
	XORL DI, DI
	RET
	COARSE(BX, CX)
	ELSE(Blocks_slowAllocZeroed)

// freeFunc: takes the block that starts at BX back.
TEXT FREE(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_freeSection)
	MOVQ Blocks_classes(AX), R10
	CLASS(DI, R12)
	// Does the page map name this class, and does an object start here?
	MOVQ  BX, R13
	SUBQ  Blocks_origin(AX), R13
	CMPQ  R13, Blocks_size(AX)
	JCC   none
	MOVQ  R13, R9
	SHRQ  $const_PageShift, R9
	MOVQ  Blocks_pageMap(AX), R11
	MOVL  (R11)(R9*4), R11
	XORL  R12, R11
	TESTL $const_pageMask, R11
	JNE   none
	ANDL  $const_pageMask, R13
	ORL   R13, R11
	IMULQ ClassTable_Factors(R10)(R12*8), R11
	CMPQ  R11, ClassTable_Bounds(R10)(R12*8)
	JCC   none
	MOVQ  Blocks_slabs(AX), R10
	BEGIN(FREE_DESCRIPTOR, R10, const_slabShift)
	// Room, and not the newest object once more.
	MOVL (R9)(R12*8), R11
	CMPL R11, 4(R9)(R12*8)
	JCC  none
	POINT(4)
	CMPQ BX, -8(R9)(R11*1)
	JEQ  none
	// Above current nobody looks before the commit.
	MOVQ BX, (R9)(R11*1)
	ADDL $8, R11
	POINT(5)
	MOVL R11, (R9)(R12*8) // COMMIT
committed:
	POINT(9)
	RET
	COARSE(DI, R12)
	ELSE(Blocks_slowFree)
