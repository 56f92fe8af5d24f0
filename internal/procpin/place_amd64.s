#include "textflag.h"
#include "go_asm.h"

// func thisM() uintptr
// The wrapper of an assembly function leaves g in R14.
TEXT ·thisM(SB), NOSPLIT, $0-8
	MOVQ const_offsetOfM(R14), AX
	MOVQ AX, ret+0(FP)
	RET

// func copyWords(to *uintptr, from, count uintptr)
TEXT ·copyWords(SB), NOSPLIT, $0-24
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ count+16(FP), CX
	REP
	MOVSQ
	RET
