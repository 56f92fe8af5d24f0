// The section of the self-test. Included once for each way to find the area;
// AREA loads its address into R8 and leaves for noArea without one.

// func HOLD(cell *atomic.Uint32, mark, spins uint32) (outcome uint32)
// Writes mark and reads it back spins times, all in one section.
//
//	register  holds        live from, to
//	R8        area         entry, START
//	DI        cell         entry, end
//	BX        mark         entry, end
//	CX        reads left   entry, commit
TEXT HOLD(SB), NOSPLIT|NOFRAME, $0-20
	NO_CALLS
	MOVQ cell+0(FP), DI
	MOVL mark+8(FP), BX
	MOVL spins+12(FP), CX
	AREA
	LEAQ HOLD_DESCRIPTOR(SB), R9
	MOVQ R9, const_offsetCS(R8) // START
start:
	MOVL BX, (DI)
read:
	CMPL BX, (DI)
	JNE  violated
	DECL CX
	JNE  read
	MOVL BX, (DI) // COMMIT
committed:
	MOVL $const_heldThrough, outcome+16(FP)
	RET
violated:
	MOVL $const_heldViolated, outcome+16(FP)
	RET
noArea:
	MOVL $const_heldNoArea, outcome+16(FP)
	RET
	SIGNATURE
abort: // ABORT
	MOVL $const_heldAborted, outcome+16(FP)
	RET
	ANCHORS
	JMP  start
	JMP  committed
	JMP  abort
