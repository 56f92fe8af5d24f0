// The critical sections, amd64. Included once for each way to find the thread's
// area and each id that indexes; variants_amd64.h defines what differs:
//
//	AREA       loads the address of this thread's rseq area into R8, or leaves for none
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
// Arguments are in AX, BX, CX and DI, the result is in AX. They are the inputs
// that a restart needs, so no section changes them before its commit, and POP
// and PUSH return BX, CX and DI as they are. The pseudo-code of each section
// stands in sections.go.
//
//	register  holds                      live from, to
//	AX        base of the slabs          entry, commit
//	BX        class, delta               entry, end
//	CX        object or array            entry, end
//	DI        count or header            entry, end
//	R8        area                       again, id read
//	R9        descriptor, id, then slab  again, commit
//	R10       restarts left              entry, abort
//	R11       current                    its load, commit
//	R12       object, sum or count done  its load, end
//	R13       scratch, of POINT and ABORT too
//	X0        two objects                between points
//	DX, SI    of POINT                   stalled build only

// BEGIN starts a section and leaves the slab, or the cell, of this thread's id in R9.
#define BEGIN(descriptor, base, shift) \
	AREA; \
	POINT(1); \
	START(descriptor); \
start: \
	POINT(2); \
	TRUST; \
	MOVL ID(R8), R9; \
	CMPL R9, const_controlCount(base); \
	JCC  none; \
	SHLQ $shift, R9; \
	ADDQ base, R9; \
	POINT(3)

// ENTER is BEGIN for a section that starts again when it is aborted.
#define ENTER(descriptor, shift, section) \
	POINTS(section); \
	MOVL $const_maxRestarts, R10; \
again: \
	BEGIN(descriptor, AX, shift)

// LEAVE ends a function: with the result of a section that found nothing, and
// with ABORT, from where the section starts again.
#define LEAVE(nothing) \
none: \
	MOVL $nothing, AX; \
	RET; \
	SIGNATURE; \
abort: \
	ABORTED; \
	LEAQ ·aborts(SB), R13; \
	LOCK; \
	INCQ (R13); \
	DECL R10; \
	JNE  again; \
	MOVL $nothing, AX; \
	RET; \
	ANCHORS; \
	JMP  start; \
	JMP  committed; \
	JMP  abort

// popFunc: takes the newest object of the class, or returns nil.
TEXT POP(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(POP_DESCRIPTOR, const_slabShift, const_popSection)
	// The newest object; the word below the oldest is nil.
	MOVL  (R9)(BX*8), R11
	POINT(4)
	MOVQ  -8(R9)(R11*1), R12
	TESTQ R12, R12
	JEQ   none
	SUBL  $8, R11
	POINT(5)
	MOVL  R11, (R9)(BX*8) // COMMIT
committed:
	POINT(9)
	MOVQ  R12, AX
	RET
	LEAVE(0)

// pushFunc: adds an object to the class; returns pushed, full, duplicate or unserved.
TEXT PUSH(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(PUSH_DESCRIPTOR, const_slabShift, const_pushSection)
	// Room, and not the newest object once more.
	MOVL (R9)(BX*8), R11
	CMPL R11, 4(R9)(BX*8)
	JCC  noRoom
	POINT(4)
	CMPQ CX, -8(R9)(R11*1)
	JEQ  duplicate
	// Above current nobody looks before the commit.
	MOVQ CX, (R9)(R11*1)
	ADDL $8, R11
	POINT(5)
	MOVL R11, (R9)(BX*8) // COMMIT
committed:
	POINT(9)
	XORL AX, AX
	RET
duplicate:
	MOVL $const_duplicate, AX
	RET
noRoom:
	TESTL R11, R11 // no header
	JEQ   none
	MOVL  $const_full, AX
	RET
	LEAVE(const_unserved)

// func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, countAndBegin uintptr) uintptr
// Takes up to count objects into an array, newest first; returns how many.
TEXT POP_BATCH(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(POP_BATCH_DESCRIPTOR, const_slabShift, const_popBatchSection)
	MOVL  (R9)(BX*8), R11
	POINT(4)
	// As many as there are and as are asked for. The upper half of DI tells where the
	// slots begin; current is below for a class without a header.
	MOVQ  DI, R13
	SHRQ  $32, R13
	MOVL  R11, R12
	SUBQ  R13, R12
	JCS   none
	SHRQ  $3, R12
	MOVL  DI, R13
	CMPQ  R12, R13
	CMOVQHI R13, R12
	// In pairs that change places, then the last one of an odd number.
	XORL  R13, R13
	JMP   pairs
pair:
	MOVUPS -16(R9)(R11*1), X0
	PSHUFD $0x4e, X0, X0
	MOVUPS X0, -16(CX)(R13*8)
	SUBL  $16, R11
pairs:
	ADDQ  $2, R13
	CMPQ  R13, R12
	JLS   pair
	TESTL $1, R12
	JEQ   taken
	MOVQ  -8(R9)(R11*1), R13
	MOVQ  R13, -8(CX)(R12*8)
	SUBL  $8, R11
taken:
	POINT(5)
	MOVL R11, (R9)(BX*8) // COMMIT
committed:
	POINT(9)
	MOVQ R12, AX
	RET
	LEAVE(0)

// func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr
// Adds up to count objects of an array, in its order; returns how many, or unserved.
TEXT PUSH_BATCH(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(PUSH_BATCH_DESCRIPTOR, const_slabShift, const_pushBatchSection)
	MOVL  (R9)(BX*8), R11
	TESTL R11, R11 // no header
	JEQ   none
	POINT(4)
	// As many as there is room for and as are brought: no room where Shrink has put
	// end below current.
	MOVL  4(R9)(BX*8), R12
	SUBQ  R11, R12
	JCC   room
	XORL  R12, R12
room:
	SHRQ  $3, R12
	CMPQ  R12, DI
	CMOVQHI DI, R12
	// In pairs, then the last one of an odd number.
	XORL  R13, R13
	JMP   pairs
pair:
	MOVUPS -16(CX)(R13*8), X0
	MOVUPS X0, (R9)(R11*1)
	ADDL  $16, R11
pairs:
	ADDQ  $2, R13
	CMPQ  R13, R12
	JLS   pair
	TESTL $1, R12
	JEQ   added
	MOVQ  -8(CX)(R12*8), R13
	MOVQ  R13, (R9)(R11*1)
	ADDL  $8, R11
added:
	POINT(5)
	MOVL R11, (R9)(BX*8) // COMMIT
committed:
	POINT(9)
	MOVQ R12, AX
	RET
	LEAVE(const_unserved)

// func(base unsafe.Pointer, class uintptr, _ unsafe.Pointer, header uintptr) uintptr
// Stores the header of the class if it is zero; returns stored or kept.
TEXT SET_HEADER(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(SET_HEADER_DESCRIPTOR, const_slabShift, const_setHeaderSection)
	CMPQ (R9)(BX*8), $0
	JNE  none
	POINT(4)
	MOVQ DI, (R9)(BX*8) // COMMIT
committed:
	POINT(9)
	MOVL $const_stored, AX
	RET
	LEAVE(0)

// func(cells unsafe.Pointer, delta uintptr) uintptr
// Adds delta to the cell of this thread's id; returns stored or kept.
TEXT ADD_CELL(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	ENTER(ADD_CELL_DESCRIPTOR, const_cellShift, const_addSection)
	MOVQ (R9), R12
	ADDQ BX, R12
	POINT(4)
	MOVQ R12, (R9) // COMMIT
committed:
	POINT(9)
	MOVL $const_stored, AX
	RET
	LEAVE(0)

#include "blocks_amd64.h"
