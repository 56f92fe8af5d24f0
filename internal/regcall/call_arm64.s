#include "textflag.h"

// Expects a in R0, b in R1, c in R2, d in R3; returns in R0.
TEXT mix<>(SB), NOSPLIT|NOFRAME, $0-0
	ADD R1<<1, R0
	ADD R2<<2, R0
	ADD R3<<3, R0
	RET

// Changes no register.
TEXT echo<>(SB), NOSPLIT|NOFRAME, $0-0
	RET

// Returns the register that holds the address of the called func value.
TEXT context<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVD R26, R0
	RET

// func mixEntry() unsafe.Pointer
TEXT ·mixEntry(SB), NOSPLIT, $0-8
	MOVD $mix<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func echoEntry() unsafe.Pointer
TEXT ·echoEntry(SB), NOSPLIT, $0-8
	MOVD $echo<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func contextEntry() unsafe.Pointer
TEXT ·contextEntry(SB), NOSPLIT, $0-8
	MOVD $context<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func Call(entry unsafe.Pointer, a unsafe.Pointer, b uintptr, c unsafe.Pointer, d uintptr) unsafe.Pointer
TEXT ·Call(SB), NOSPLIT, $16-48
	MOVD entry+0(FP), R4
	MOVD a+8(FP), R0
	MOVD b+16(FP), R1
	MOVD c+24(FP), R2
	MOVD d+32(FP), R3
	CALL (R4)
	MOVD R0, ret+40(FP)
	RET
