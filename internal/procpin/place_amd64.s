#include "textflag.h"

// func thisG() uintptr
// The wrapper of an assembly function leaves g in R14.
TEXT ·thisG(SB), NOSPLIT, $0-8
	MOVQ R14, ret+0(FP)
	RET

// func copyWords(to *uintptr, from, count uintptr)
TEXT ·copyWords(SB), NOSPLIT, $0-24
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ count+16(FP), CX
	REP
	MOVSQ
	RET
