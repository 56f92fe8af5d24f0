// The sections of Blocks, arm64. They are Go functions to their callers: they
// return what blocks.go declares, or go on, by a jump with all arguments in
// place, at the func value that serves what they cannot. There they go after an
// abort, too: it is rare, and the slow path runs sections that start again.
//
//	register  holds                                             live from, to
//	R0        *Blocks, *Single; then the block                           entry, commit, end
//	R1        length asked for; of free: address of the block   entry, end
//	R2        size; of free: length                             commit, end; entry, end
//	R3        nil; of free: capacity                            commit, end; entry, end
//	R4        area; then nil                                    BEGIN, id read; commit, end
//	R5        descriptor, scratch                               BEGIN, commit
//	R6        id, then slab                                     BEGIN, commit
//	R7        current                                           its load, commit
//	R8        object                                            its load, end
//	R10, R11  addresses of a slot and of the header             their use, commit
//	R12       scratch of POINT and ABORT
//	R13, R14  of POINT                                          stalled build only
//	R19       table of the classes                              entry, end
//	R20       base of the slabs                                 entry, BEGIN
//	R21       class                                             CLASS, end
//	R22, R23  scratch                                           before BEGIN, behind commit

// CLASS leaves the class of n bytes in class: what the coarse table holds is
// looked up out of line, by COARSE, and n that has no class leaves for none or
// gets class 0, of which there are no objects.
#define CLASS(n, class) \
	ADD   $7, n, class; \
	CMP   $const_FineUpTo, n; \
	BHI   coarse; \
	LSR   $const_FineShift, class; \
	ADD   $ClassTable_Fine, R19, R22; \
	MOVBU (R22)(class), class; \
found:

#define COARSE(n, class) \
coarse: \
	MOVD  $const_MaxSmall, R22; \
	CMP   R22, n; \
	BHI   none; \
	ADD   $(1<<const_CoarseShift - 1<<const_FineShift), class; \
	LSR   $const_CoarseShift, class; \
	ADD   $ClassTable_Coarse, R19, R22; \
	MOVBU (R22)(class), class; \
	JMP   found

// TAKE pops a block for R1 bytes and returns it as a slice in R0, R1 and R2 with
// a nil error in R3 and R4. It fetches the line of the block that comes next, or
// of address 0, which is no fault.
#define TAKE(descriptor) \
	MOVD  Blocks_classes(R0), R19; \
	MOVD  Blocks_slabs(R0), R20; \
	CLASS(R1, R21) \
	BEGIN(descriptor, R20, const_slabShift); \
	ADD   R21<<3, R6, R11; \
	MOVWU (R11), R7; \
	POINT(4); \
	ADD   R7, R6, R10; \
	MOVD  -8(R10), R8; \
	CBZ   R8, none; \
	SUBW  $8, R7; \
	POINT(5); \
	STLRW R7, (R11); /* COMMIT */ \
committed: \
	POINT(9); \
	MOVD  -16(R10), R22; \
	PRFM  (R22), PSTL1KEEP; \
	ADD   $ClassTable_Sizes, R19, R22; \
	MOVWU (R22)(R21<<2), R2; \
	MOVD  R8, R0; \
	MOVD  ZR, R3; \
	MOVD  ZR, R4

// ELSE ends a function: with the jump to the func value slow, and with ABORT.
// R26 is where a func value expects its own address.
#define ELSE(slow) \
none: \
	MOVD slow(R0), R26; \
	MOVD (R26), R12; \
	JMP  (R12); \
	SIGNATURE; \
abort: \
	ABORTED; \
	MOVD  $·aborts(SB), R5; \
count: \
	LDAXR (R5), R10; \
	ADD   $1, R10; \
	STLXR R10, (R5), R12; \
	CBNZW R12, count; \
	JMP   none; \
	ANCHORS; \
	JMP   start; \
	JMP   committed; \
	JMP   abort

// allocFunc: returns a block for R1 bytes.
TEXT ALLOC(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_allocSection)
	TAKE(ALLOC_DESCRIPTOR)
	RET
	COARSE(R1, R21)
	ELSE(Blocks_slowAlloc)

// allocFunc: returns a block for R1 bytes, all of it zero.
TEXT ALLOC_ZEROED(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_allocZeroedSection)
	TAKE(ALLOC_ZEROED_DESCRIPTOR)
	// Pairs of words up to the last one, which is stored from the end; the
	// smallest size is one word.
	ADD R2, R0, R22
	SUB $16, R22, R23
	CMP $16, R2
	BLO one
pairs:
	STP.P (ZR, ZR), 16(R8)
	CMP   R23, R8
	BLO   pairs
	STP   (ZR, ZR), (R23)
	RET
one:
	MOVD ZR, (R0)
	RET
	COARSE(R1, R21)
	ELSE(Blocks_slowAllocZeroed)

// freeFunc: takes the block that starts at R1 back.
TEXT FREE(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_freeSection)
	MOVD Blocks_classes(R0), R19
	MOVD Blocks_slabs(R0), R20
	CLASS(R3, R21)
	// Does the page map name this class, and does an object start here?
	MOVD  Blocks_origin(R0), R22
	SUB   R22, R1, R22
	MOVD  Blocks_size(R0), R23
	CMP   R23, R22
	BHS   none
	MOVD  Blocks_pageMap(R0), R5
	LSR   $const_PageShift, R22, R23
	MOVWU (R5)(R23<<2), R23
	EOR   R21, R23
	TST   $const_pageMask, R23
	BNE   none
	AND   $const_pageMask, R22
	ORR   R22, R23
	ADD   $ClassTable_Factors, R19, R22
	MOVD  (R22)(R21<<3), R22
	MUL   R22, R23
	ADD   $ClassTable_Bounds, R19, R22
	MOVD  (R22)(R21<<3), R22
	CMP   R22, R23
	BHS   none
	BEGIN(FREE_DESCRIPTOR, R20, const_slabShift)
	ADD   R21<<3, R6, R11
	// Room, and not the newest object once more.
	MOVWU (R11), R7
	MOVWU 4(R11), R5
	CMPW  R5, R7
	BHS   none
	POINT(4)
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CMP   R1, R8
	BEQ   none
	// Above current nobody looks before the commit.
	MOVD  R1, (R10)
	ADDW  $8, R7
	POINT(5)
	STLRW R7, (R11) // COMMIT
committed:
	POINT(9)
	RET
	COARSE(R3, R21)
	ELSE(Blocks_slowFree)

// getFunc: returns the newest object, and nil for the error.
TEXT GET(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_getSection)
	MOVD  Single_slabs(R0), R20
	BEGIN(GET_DESCRIPTOR, R20, const_slabShift)
	MOVWU (R6), R7
	POINT(4)
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CBZ   R8, none
	SUBW  $8, R7
	POINT(5)
	STLRW R7, (R6) // COMMIT
committed:
	POINT(9)
	MOVD  -16(R10), R22
	PRFM  (R22), PSTL1KEEP
	MOVD  R8, R0
	MOVD  ZR, R1
	MOVD  ZR, R2
	RET
	ELSE(Single_slowGet)

// putFunc: takes the object at R1 back.
TEXT PUT(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_putSection)
	// Does it lie in the range, and does an object start there? See CheckOf.
	MOVD  Single_origin(R0), R22
	SUB   R22, R1, R22
	LSR   $const_PageShift, R22
	MOVD  Single_pages(R0), R23
	CMP   R23, R22
	BHS   none
	MOVD  Single_checks(R0), R5
	MOVD  (R5)(R22<<3), R22
	MOVD  (Single_test+startTest_factor)(R0), R23
	MOVHU R1, R5
	MADD  R23, R22, R5, R22
	LSR   $const_SlackBits, R22
	MOVD  (Single_test+startTest_want)(R0), R23
	CMP   R23, R22
	BNE   none
	MOVD  Single_slabs(R0), R20
	BEGIN(PUT_DESCRIPTOR, R20, const_slabShift)
	// Room, and not the newest object once more.
	MOVWU (R6), R7
	MOVWU 4(R6), R5
	CMPW  R5, R7
	BHS   none
	POINT(4)
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CMP   R1, R8
	BEQ   none
	// Above current nobody looks before the commit.
	MOVD  R1, (R10)
	ADDW  $8, R7
	POINT(5)
	STLRW R7, (R6) // COMMIT
committed:
	POINT(9)
	RET
	ELSE(Single_slowPut)
