//go:build linux

#include "textflag.h"

// func outByte(port uint16, value uint8)
//
// DX holds the port, AL the value.
TEXT ·outByte(SB), NOSPLIT, $0-3
	MOVW port+0(FP), DX
	MOVB value+2(FP), AL
	OUTB
	RET
