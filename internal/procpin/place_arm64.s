#include "textflag.h"

// func thisG() uintptr
TEXT ·thisG(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET

// func copyWords(to *uintptr, from, count uintptr)
TEXT ·copyWords(SB), NOSPLIT, $0-24
	MOVD to+0(FP), R0
	MOVD from+8(FP), R1
	MOVD count+16(FP), R2
next:
	MOVD.P 8(R1), R3
	MOVD.P R3, 8(R0)
	SUB    $1, R2
	CBNZ   R2, next
	RET
