// The critical sections, arm64. Included once for each way to find the thread's
// area and each id that indexes; variants_arm64.h defines what differs:
//
//	AREA       loads the address of this thread's rseq area into R4, or leaves for none
//	START      announces the section to the kernel
//	TRUST      leaves for none if the kernel does not fill in the area
//	ID         offset of the indexing field in the area
//	POINTS     nothing, or in the stalled build finds the section's injection points
//	POINT      nothing, or in the stalled build one of them (points_linux.go)
//	ABORTED    nothing, or in the stalled build counts at which point it happened
//	NO_CALLS   tells Go that this function is no place to preempt, or to call from
//	SIGNATURE  what the kernel wants to see before the label abort
//	ANCHORS    the mark before the jumps from which the descriptor is computed
//
// Arguments are in R0 to R3, the result is in R0. They are the inputs that a
// restart needs, so no section changes them before its commit, and POP and PUSH
// return R1, R2 and R3 as they are. The pseudo-code of each section stands in
// sections.go. The commits are store-releases: what a section stored before is
// seen first by whoever drains the slab later.
//
//	register  holds                      live from, to
//	R0        base of the slabs          entry, commit
//	R1        class, delta               entry, end
//	R2        object or array            entry, end
//	R3        count or header            entry, end
//	R4        area                       again, id read
//	R5        descriptor, scratch        again, commit
//	R6        id, then slab              id read, commit
//	R7        current                    its load, commit
//	R8        object, sum or count done  its load, end
//	R9        restarts left              entry, abort
//	R10       address of a slot          its use
//	R11       address of the header      ENTER, commit
//	R12       scratch of POINT and ABORT
//	R13, R14  of POINT                   stalled build only
//	R20, R21  two objects                between points
//	R22, R23  place in the array, count  between points

// BEGIN starts a section and leaves the slab, or the cell, of this thread's id in R6.
// The address of the slab depends on the count, by adding a zero that does: so no
// load from the slab is made before that of the count, as this processor is free
// to do, and who sees the count that resume wrote sees the emptied slab
// (docs/drain.md).
#define BEGIN(descriptor, base, shift) \
	AREA; \
	POINT(1); \
	START(descriptor); \
start: \
	POINT(2); \
	TRUST; \
	MOVWU ID(R4), R6; \
	MOVWU const_controlCount(base), R5; \
	CMPW  R5, R6; \
	BHS   none; \
	EOR   R5, R5; \
	ADD   R6<<shift, base, R6; \
	ADD   R5, R6; \
	POINT(3)

// ENTER is BEGIN for a section that starts again when it is aborted.
#define ENTER(descriptor, shift, section) \
	POINTS(section); \
	MOVD $const_maxRestarts, R9; \
again: \
	BEGIN(descriptor, R0, shift)

// LEAVE ends a function: with the result of a section that found nothing, and
// with ABORT, from where the section starts again.
#define LEAVE(nothing) \
none: \
	MOVD  $nothing, R0; \
	RET; \
	SIGNATURE; \
abort: \
	ABORTED; \
	MOVD  $·aborts(SB), R5; \
count: \
	LDAXR (R5), R10; \
	ADD   $1, R10; \
	STLXR R10, (R5), R12; \
	CBNZW R12, count; \
	SUB   $1, R9; \
	CBNZ  R9, again; \
	MOVD  $nothing, R0; \
	RET; \
	ANCHORS; \
	JMP   start; \
	JMP   committed; \
	JMP   abort

// popFunc: takes the newest object of the class, or returns nil.
TEXT POP(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(POP_DESCRIPTOR, const_slabShift, const_popSection)
	ADD   R1<<3, R6, R11
	// The newest object; the word below the oldest is nil.
	MOVWU (R11), R7
	POINT(4)
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CBZ   R8, none
	SUBW  $8, R7
	POINT(5)
	STLRW R7, (R11) // COMMIT
committed:
	POINT(9)
	MOVD  R8, R0
	RET
	LEAVE(0)

// pushFunc: adds an object to the class; returns pushed, full, duplicate or unserved.
TEXT PUSH(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(PUSH_DESCRIPTOR, const_slabShift, const_pushSection)
	ADD   R1<<3, R6, R11
	// Room, and not the newest object once more.
	MOVWU (R11), R7
	MOVWU 4(R11), R5
	CMPW  R5, R7
	BHS   noRoom
	POINT(4)
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CMP   R2, R8
	BEQ   duplicate
	// Above current nobody looks before the commit.
	MOVD  R2, (R10)
	ADDW  $8, R7
	POINT(5)
	STLRW R7, (R11) // COMMIT
committed:
	POINT(9)
	MOVD  ZR, R0
	RET
duplicate:
	MOVD  $const_duplicate, R0
	RET
noRoom:
	CBZW  R7, none // no header
	MOVD  $const_full, R0
	RET
	LEAVE(const_unserved)

// func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr
// Takes up to count objects into an array, newest first; returns how many.
TEXT POP_BATCH(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(POP_BATCH_DESCRIPTOR, const_slabShift, const_popBatchSection)
	ADD   R1<<3, R6, R11
	MOVWU (R11), R7
	POINT(4)
	// As many as there are and as are asked for. The upper half of R3 tells where the
	// slots begin; current is below for a class without a header.
	LSR   $32, R3, R5
	SUBS  R5, R7, R8
	BLO   none
	LSR   $3, R8
	MOVWU R3, R5
	CMP   R5, R8
	CSEL  LO, R8, R5, R8
	// In pairs that change places, then the last one of an odd number.
	ADD   R7, R6, R10
	MOVD  R2, R22
	SUBS  $2, R8, R23
	BLO   last
pair:
	LDP.W -16(R10), (R20, R21)
	STP.P (R21, R20), 16(R22)
	SUBS  $2, R23
	BHS   pair
last:
	TBZ   $0, R8, taken
	MOVD  -8(R10), R20
	MOVD  R20, (R22)
taken:
	SUBW  R8<<3, R7
	POINT(5)
	STLRW R7, (R11) // COMMIT
committed:
	POINT(9)
	MOVD  R8, R0
	RET
	LEAVE(0)

// func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr
// Adds up to count objects of an array, in its order; returns how many, or unserved.
TEXT PUSH_BATCH(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(PUSH_BATCH_DESCRIPTOR, const_slabShift, const_pushBatchSection)
	ADD   R1<<3, R6, R11
	MOVWU (R11), R7
	CBZW  R7, none // no header
	POINT(4)
	// As many as there is room for and as are brought: no room where Shrink has put
	// end below current.
	MOVWU 4(R11), R8
	SUBS  R7, R8
	CSEL  HS, R8, ZR, R8
	LSR   $3, R8
	CMP   R3, R8
	CSEL  LO, R8, R3, R8
	// In pairs, then the last one of an odd number.
	ADD   R7, R6, R10
	MOVD  R2, R22
	SUBS  $2, R8, R23
	BLO   last
pair:
	LDP.P 16(R22), (R20, R21)
	STP.P (R20, R21), 16(R10)
	SUBS  $2, R23
	BHS   pair
last:
	TBZ   $0, R8, added
	MOVD  (R22), R20
	MOVD  R20, (R10)
added:
	ADDW  R8<<3, R7
	POINT(5)
	STLRW R7, (R11) // COMMIT
committed:
	POINT(9)
	MOVD  R8, R0
	RET
	LEAVE(const_unserved)

// func(base unsafe.Pointer, class uintptr, _ unsafe.Pointer, header uintptr) uintptr
// Stores the header of the class if it is zero; returns stored or kept.
TEXT SET_HEADER(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(SET_HEADER_DESCRIPTOR, const_slabShift, const_setHeaderSection)
	ADD   R1<<3, R6, R11
	MOVD  (R11), R5
	CBNZ  R5, none
	POINT(4)
	STLR  R3, (R11) // COMMIT
committed:
	POINT(9)
	MOVD  $const_stored, R0
	RET
	LEAVE(0)

// func(cells unsafe.Pointer, delta uintptr) uintptr
// Adds delta to the cell of this thread's id; returns stored or kept.
TEXT ADD_CELL(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(ADD_CELL_DESCRIPTOR, const_cellShift, const_addSection)
	MOVD  (R6), R8
	ADD   R1, R8
	POINT(4)
	STLR  R8, (R6) // COMMIT
committed:
	POINT(9)
	MOVD  $const_stored, R0
	RET
	LEAVE(0)

#include "blocks_arm64.h"
