//go:build linux

#include "textflag.h"

// func semihost(operation uintptr, argument *[2]uintptr) uintptr
//
// R0 holds the operation, then the answer; R1 the address of its block. The
// emulator reads the block by the address of this process.
TEXT ·semihost(SB), NOSPLIT, $0-24
	MOVD operation+0(FP), R0
	MOVD argument+8(FP), R1
	WORD $0xd45e0000          // HLT $0xf000: the semihosting call
	MOVD R0, ret+16(FP)
	RET
