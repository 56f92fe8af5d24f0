// The sections of Blocks, amd64. They are Go functions to their callers: they
// return what blocks.go declares, or go on, by a jump with all arguments in
// place, at the func value that serves what they cannot. There they go after an
// abort, too: it is rare, and the slow path runs sections that start again.
//
//	register  holds                                                  live from, to
//	AX        *Blocks, *Single; then the block                       entry, commit, end
//	BX        length asked for; of free and put: address             entry, end
//	CX        size; of free: length                                  SIZES, end; entry, end
//	DI        base of the slabs, countdown; of free: capacity        TAKE, commit; entry, end
//	R8        area                                                   BEGIN, id read
//	R9        page before; descriptor, id, then slab                 BEGIN, commit
//	R10       offset, then address of the header; of free and put
//	          base of the slabs before                               SIZES, commit
//	R11       base of the check map before; current                  its load, commit
//	R12       object; of free: offset of the header                  its load, end
//	R13       what STARTS compares before; scratch of POINT and ABORT
//	DX, SI    of POINT                                               stalled build only

// CLASS leaves the offset in a slab of the header of the class of n bytes in header:
// what the coarse table holds is looked up out of line, by COARSE, and n that has no
// class leaves for none or gets class 0, of which there are no objects.
#define CLASS(n, header) \
	LEAQ 7(n), header; \
	CMPQ n, $const_FineUpTo; \
	JHI  coarse; \
	SHRQ $const_FineShift, header; \
	MOVWLZX (Blocks_fine+fineEntry_header)(AX)(header*4), header; \
found:

#define COARSE(n, header) \
coarse: \
	CMPQ n, $const_MaxSmall; \
	JHI  none; \
	ADDQ $(1<<const_CoarseShift - 1<<const_FineShift), header; \
	SHRQ $const_CoarseShift, header; \
	MOVQ Blocks_classes(AX), R10; \
	MOVBLZX ClassTable_Coarse(R10)(header*1), header; \
	SHLL $3, header; \
	JMP  found

// SIZES is CLASS for BX bytes and R10, and leaves the size of the class in CX.
#define SIZES \
	LEAQ 7(BX), CX; \
	CMPQ BX, $const_FineUpTo; \
	JHI  coarse; \
	SHRQ $const_FineShift, CX; \
	MOVWLZX (Blocks_fine+fineEntry_header)(AX)(CX*4), R10; \
	MOVWLZX (Blocks_fine+fineEntry_size)(AX)(CX*4), CX; \
found:

#define COARSE_SIZES \
coarse: \
	CMPQ BX, $const_MaxSmall; \
	JHI  none; \
	ADDQ $(1<<const_CoarseShift - 1<<const_FineShift), CX; \
	SHRQ $const_CoarseShift, CX; \
	MOVQ Blocks_classes(AX), R13; \
	MOVBLZX ClassTable_Coarse(R13)(CX*1), R10; \
	MOVL ClassTable_Sizes(R13)(R10*4), CX; \
	SHLL $3, R10; \
	JMP  found

// COUNT adds BX to the countdown of the slab, or leaves for carried. An abort behind
// its store leaves it counted.
#define COUNT \
	MOVQ const_offsetCountdown(R9), DI; \
	ADDQ BX, DI; \
	JCS  carried; \
	MOVQ DI, const_offsetCountdown(R9)

// TAKE pops a block for BX bytes and returns it as a slice in AX, BX and CX with
// a nil error in DI and SI. It fetches the line of the block that comes next, or
// of address 0, which is no fault.
#define TAKE(descriptor) \
	MOVQ  Blocks_slabs(AX), DI; \
	SIZES \
	BEGIN(descriptor, DI, const_slabShift); \
	ADDQ  R9, R10; \
	MOVL  (R10), R11; \
	POINT(4); \
	MOVQ  -8(R9)(R11*1), R12; \
	TESTQ R12, R12; \
	JEQ   none; \
	COUNT; \
	SUBL  $8, R11; \
	POINT(5); \
	MOVL  R11, (R10); /* COMMIT */ \
committed: \
	POINT(9); \
	MOVQ  -8(R9)(R11*1), R13; \
	PREFETCHT0 (R13); \
	MOVQ  R12, AX; \
	XORL  DI, DI; \
	XORL  SI, SI

// CARRIED goes on at the func value slow where the countdown has carried over.
#define CARRIED(slow) \
carried: \
	MOVQ slow(AX), DX; \
	MOVQ (DX), R13; \
	JMP  R13

// STARTS leaves for none unless BX lies in the range of the Blocks or Single at AX and
// an object starts there that the test accepts: see CheckOf.
#define STARTS(origin, pages, checks, factor, want) \
	MOVQ  BX, R9; \
	SUBQ  origin(AX), R9; \
	SHRQ  $const_PageShift, R9; \
	CMPQ  R9, pages(AX); \
	JCC   none; \
	MOVWLZX BX, R13; \
	IMULQ factor, R13; \
	MOVQ  checks(AX), R11; \
	ADDQ  (R11)(R9*8), R13; \
	SHRQ  $const_SlackBits, R13; \
	CMPQ  R13, want; \
	JNE   none

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
	COARSE_SIZES
	CARRIED(Blocks_carriedAlloc)
	ELSE(Blocks_slowAlloc)

// CLEAR clears the CX bytes at R12, which is AX, and returns.
#define CLEAR \
	CMPQ CX, $64; \
	JCS  short; \
	CMPQ CX, $const_clearInLoop; \
	JHI  long; \
	/* Whole lines, the last one from the end. X15 is zero in Go's convention. */ \
	LEAQ -64(AX)(CX*1), R13; \
	JMP  lines; \
line: \
	MOVUPS X15, (R12); \
	MOVUPS X15, 16(R12); \
	MOVUPS X15, 32(R12); \
	MOVUPS X15, 48(R12); \
	ADDQ   $64, R12; \
lines: \
	CMPQ   R12, R13; \
	JCS    line; \
	MOVUPS X15, (R13); \
	MOVUPS X15, 16(R13); \
	MOVUPS X15, 32(R13); \
	MOVUPS X15, 48(R13); \
	RET; \
short: \
	/* Words, from the end: every size is a multiple of 8. */ \
	MOVQ CX, R13; \
word: \
	MOVQ $0, -8(AX)(R13*1); \
	SUBQ $8, R13; \
	JNE  word; \
	RET; \
long: \
	MOVQ AX, DI; \
	MOVQ CX, R13; \
	SHRQ $3, CX; \
	XORL AX, AX; \
	REP; \
	STOSQ; \
	MOVQ R12, AX; \
	MOVQ R13, CX; \
	XORL DI, DI; \
	RET

// allocFunc: returns a block for BX bytes, all of it zero.
TEXT ALLOC_ZEROED(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_allocZeroedSection)
	TAKE(ALLOC_ZEROED_DESCRIPTOR)
	CLEAR
	COARSE_SIZES
	CARRIED(Blocks_carriedAllocZeroed)
	ELSE(Blocks_slowAllocZeroed)

// freeFunc: takes the block that starts at BX back.
TEXT FREE(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_freeSection)
	CLASS(DI, R12)
	STARTS(Blocks_origin, Blocks_pages, Blocks_checks, (Blocks_starts+startTest_factor)(AX)(R12*2), (Blocks_starts+startTest_want)(AX)(R12*2))
	MOVQ Blocks_slabs(AX), R10
	BEGIN(FREE_DESCRIPTOR, R10, const_slabShift)
	// Room, and not the newest object once more.
	LEAQ (R9)(R12*1), R10
	MOVL (R10), R11
	CMPL R11, 4(R10)
	JCC  none
	POINT(4)
	CMPQ BX, -8(R9)(R11*1)
	JEQ  none
	// Above current nobody looks before the commit.
	MOVQ BX, (R9)(R11*1)
	ADDL $8, R11
	POINT(5)
	MOVL R11, (R10) // COMMIT
committed:
	POINT(9)
	RET
	COARSE(DI, R12)
	ELSE(Blocks_slowFree)

// getFunc: returns the newest object, and nil for the error.
TEXT GET(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_getSection)
	MOVQ  Single_slabs(AX), R10
	BEGIN(GET_DESCRIPTOR, R10, const_slabShift)
	MOVL  (R9), R11
	POINT(4)
	MOVQ  -8(R9)(R11*1), R12
	TESTQ R12, R12
	JEQ   none
	SUBL  $8, R11
	POINT(5)
	MOVL  R11, (R9) // COMMIT
committed:
	POINT(9)
	MOVQ  -8(R9)(R11*1), R13
	PREFETCHT0 (R13)
	MOVQ  R12, AX
	XORL  BX, BX
	XORL  CX, CX
	RET
	ELSE(Single_slowGet)

// putFunc: takes the object at BX back.
TEXT PUT(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_putSection)
	STARTS(Single_origin, Single_pages, Single_checks, (Single_test+startTest_factor)(AX), (Single_test+startTest_want)(AX))
	MOVQ Single_slabs(AX), R10
	BEGIN(PUT_DESCRIPTOR, R10, const_slabShift)
	// Room, and not the newest object once more.
	MOVL (R9), R11
	CMPL R11, 4(R9)
	JCC  none
	POINT(4)
	CMPQ BX, -8(R9)(R11*1)
	JEQ  none
	// Above current nobody looks before the commit.
	MOVQ BX, (R9)(R11*1)
	ADDL $8, R11
	POINT(5)
	MOVL R11, (R9) // COMMIT
committed:
	POINT(9)
	RET
	ELSE(Single_slowPut)
