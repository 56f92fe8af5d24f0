// The section of the self-test. Included once for each way to find the area;
// AREA loads its address into R4 and leaves for noArea without one.

// func HOLD(cell *atomic.Uint32, mark, spins uint32) (outcome uint32)
// Writes mark and reads it back spins times, all in one section.
//
//	register  holds        live from, to
//	R4        area         entry, START
//	R0        cell         entry, end
//	R1        mark         entry, end
//	R2        reads left   entry, commit
TEXT HOLD(SB), NOSPLIT|NOFRAME, $0-20
	NO_CALLS
	MOVD  cell+0(FP), R0
	MOVWU mark+8(FP), R1
	MOVWU spins+12(FP), R2
	AREA
	MOVD  $HOLD_DESCRIPTOR(SB), R5
	MOVD  R5, const_offsetCS(R4) // START
start:
	MOVW  R1, (R0)
read:
	MOVWU (R0), R3
	CMPW  R1, R3
	BNE   violated
	SUBW  $1, R2
	CBNZW R2, read
	MOVW  R1, (R0) // COMMIT
committed:
	MOVW  $const_heldThrough, R0
	MOVW  R0, outcome+16(FP)
	RET
violated:
	MOVW  $const_heldViolated, R0
	MOVW  R0, outcome+16(FP)
	RET
noArea:
	MOVW  $const_heldNoArea, R0
	MOVW  R0, outcome+16(FP)
	RET
	SIGNATURE
abort: // ABORT
	MOVW  $const_heldAborted, R0
	MOVW  R0, outcome+16(FP)
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort
