#include "textflag.h"

// Expects a in AX, b in BX, c in CX, d in DI; returns in AX.
TEXT mix<>(SB), NOSPLIT|NOFRAME, $0-0
	LEAQ (AX)(BX*2), AX
	LEAQ (AX)(CX*4), AX
	LEAQ (AX)(DI*8), AX
	RET

// Changes no register.
TEXT echo<>(SB), NOSPLIT|NOFRAME, $0-0
	RET

// Returns the register that holds the address of the called func value.
TEXT context<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ DX, AX
	RET

// func mixEntry() unsafe.Pointer
TEXT ·mixEntry(SB), NOSPLIT, $0-8
	LEAQ mix<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func echoEntry() unsafe.Pointer
TEXT ·echoEntry(SB), NOSPLIT, $0-8
	LEAQ echo<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func contextEntry() unsafe.Pointer
TEXT ·contextEntry(SB), NOSPLIT, $0-8
	LEAQ context<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func Call(entry unsafe.Pointer, a unsafe.Pointer, b uintptr, c unsafe.Pointer, d uintptr) unsafe.Pointer
TEXT ·Call(SB), NOSPLIT, $8-48
	MOVQ entry+0(FP), DX
	MOVQ a+8(FP), AX
	MOVQ b+16(FP), BX
	MOVQ c+24(FP), CX
	MOVQ d+32(FP), DI
	CALL DX
	MOVQ AX, ret+40(FP)
	RET
