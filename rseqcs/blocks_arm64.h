// The sections of Blocks, arm64. They are Go functions to their callers: they
// return what blocks.go declares, or go on, by a jump with all arguments in
// place, at the func value that serves what they cannot. There they go after an
// abort, too: it is rare, and the slow path runs sections that start again.
//
//	register  holds                                             live from, to
//	R0        *Blocks, *Single; then the block                  entry, commit, end
//	R1        length asked for; of free and put: address        entry, end
//	R2        size; of free: length                             SIZES, end; entry, end
//	R3        nil; of free: capacity                            commit, end; entry, end
//	R4        area; then nil                                    BEGIN, id read; commit, end
//	R5        check map, check word; descriptor, scratch        STARTS; BEGIN, commit
//	R6        id, then slab                                     BEGIN, commit
//	R7        current                                           its load, commit
//	R8        object                                            its load, end
//	R10, R11  addresses of a slot and of the header             their use, commit
//	R12       scratch of POINT and ABORT
//	R13, R14  of POINT                                          stalled build only
//	R19       table of the classes; what STARTS wants           before BEGIN
//	R20       base of the slabs                                 its load, BEGIN
//	R21       offset of the header                              SIZES, CLASS; its use
//	R22, R23  scratch                                           before BEGIN, behind commit
//	R24       what the address of a test is computed from       before STARTS, its load

// CLASS leaves the offset in a slab of the header of the class of n bytes in header:
// what the coarse table holds is looked up out of line, by COARSE, and n that has no
// class leaves for none or gets class 0, of which there are no objects.
#define CLASS(n, header) \
	ADD   $7, n, header; \
	CMP   $const_FineUpTo, n; \
	BHI   coarse; \
	LSR   $const_FineShift, header; \
	ADD   header<<2, R0, header; \
	MOVHU (Blocks_fine+fineEntry_header)(header), header; \
found:

#define COARSE(n, header) \
coarse: \
	MOVD  $const_MaxSmall, R22; \
	CMP   R22, n; \
	BHI   none; \
	ADD   $(1<<const_CoarseShift - 1<<const_FineShift), header; \
	LSR   $const_CoarseShift, header; \
	MOVD  Blocks_classes(R0), R19; \
	ADD   $ClassTable_Coarse, R19, R22; \
	MOVBU (R22)(header), header; \
	LSL   $3, header; \
	JMP   found

// SIZES is CLASS for R1 bytes and R21, and leaves the size of the class in R2.
#define SIZES \
	ADD   $7, R1, R2; \
	CMP   $const_FineUpTo, R1; \
	BHI   coarse; \
	LSR   $const_FineShift, R2; \
	ADD   R2<<2, R0, R2; \
	MOVHU (Blocks_fine+fineEntry_header)(R2), R21; \
	MOVHU (Blocks_fine+fineEntry_size)(R2), R2; \
found:

#define COARSE_SIZES \
coarse: \
	MOVD  $const_MaxSmall, R22; \
	CMP   R22, R1; \
	BHI   none; \
	ADD   $(1<<const_CoarseShift - 1<<const_FineShift), R2; \
	LSR   $const_CoarseShift, R2; \
	MOVD  Blocks_classes(R0), R19; \
	ADD   $ClassTable_Coarse, R19, R22; \
	MOVBU (R22)(R2), R21; \
	ADD   $ClassTable_Sizes, R19, R22; \
	MOVWU (R22)(R21<<2), R2; \
	LSL   $3, R21; \
	JMP   found

// COUNT adds R1 to the countdown of the slab, or leaves for carried. An abort behind
// its store leaves it counted.
#define COUNT \
	MOVD const_offsetCountdown(R6), R5; \
	ADDS R1, R5; \
	BHS  carried; \
	MOVD R5, const_offsetCountdown(R6)

// TAKE pops a block for R1 bytes and returns it as a slice in R0, R1 and R2 with
// a nil error in R3 and R4. It fetches the line of the block that comes next, or
// of address 0, which is no fault.
#define TAKE(descriptor) \
	MOVD  Blocks_slabs(R0), R20; \
	SIZES \
	BEGIN(descriptor, R20, const_slabShift); \
	ADD   R21, R6, R11; \
	MOVWU (R11), R7; \
	POINT(4); \
	ADD   R7, R6, R10; \
	MOVD  -8(R10), R8; \
	CBZ   R8, none; \
	COUNT; \
	SUBW  $8, R7; \
	POINT(5); \
	STLRW R7, (R11); /* COMMIT */ \
committed: \
	POINT(9); \
	MOVD  -16(R10), R22; \
	PRFM  (R22), PSTL1KEEP; \
	MOVD  R8, R0; \
	MOVD  ZR, R3; \
	MOVD  ZR, R4

// CARRIED goes on at the func value slow where the countdown has carried over.
#define CARRIED(slow) \
carried: \
	MOVD slow(R0), R26; \
	MOVD (R26), R12; \
	JMP  (R12)

// STARTS leaves for none unless R1 lies in the range of the Blocks or Single at R0 and
// an object starts there that the test accepts: see CheckOf. It leaves the slabs in
// R20. Behind the slabs lies the origin, behind the pages the check map, and behind the
// factor what is wanted (limits.go).
#define STARTS(slabs, pages, test) \
	LDP   slabs(R0), (R20, R22); \
	LDP   pages(R0), (R23, R5); \
	SUB   R22, R1, R22; \
	LSR   $const_PageShift, R22; \
	CMP   R23, R22; \
	BHS   none; \
	MOVD  (R5)(R22<<3), R5; \
	LDP   test, (R23, R19); \
	MOVHU R1, R22; \
	MADD  R23, R5, R22, R22; \
	CMP   R22>>const_SlackBits, R19; \
	BNE   none

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
	COARSE_SIZES
	CARRIED(Blocks_carriedAlloc)
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
	COARSE_SIZES
	CARRIED(Blocks_carriedAllocZeroed)
	ELSE(Blocks_slowAllocZeroed)

// freeFunc: takes the block that starts at R1 back.
TEXT FREE(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	POINTS(const_freeSection)
	CLASS(R3, R21)
	ADD  R21<<1, R0, R24
	STARTS(Blocks_slabs, Blocks_pages, Blocks_starts(R24))
	BEGIN(FREE_DESCRIPTOR, R20, const_slabShift)
	ADD  R21, R6, R11
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
	STARTS(Single_slabs, Single_pages, Single_test(R0))
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
