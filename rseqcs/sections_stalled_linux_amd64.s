//go:build vcpualloc_stalled

#include "textflag.h"
#include "go_asm.h"

// The injection points; points_linux.go says what they do. DX holds those of the
// section, and SI the number of the one that the thread is at, or 0. Everything
// is in line, since the kernel does not abort a function that a section calls.
#define POINTS(section) LEAQ ·points+(section*const_pointsSize)(SB), DX

#define POINT(number) \
	MOVL  $number, SI; \
	MOVL  (number*const_pointSize+point_hold)(DX), R13; \
	TESTL R13, R13; \
	JEQ   8(PC); \
	MOVL  $0, (number*const_pointSize+point_hold)(DX); \
	MOVL  $1, (number*const_pointSize+point_held)(DX); \
	PAUSE; \
	DECL  R13; \
	JEQ   3(PC); \
	CMPL  (number*const_pointSize+point_held)(DX), $0; \
	JNE   -4(PC); \
	MOVL  (number*const_pointSize+point_spins)(DX), R13; \
	INCL  R13; \
	PAUSE; \
	DECL  R13; \
	JNE   -2(PC); \
	XORL  SI, SI

#define ABORTED \
	SHLL $const_pointShift, SI; \
	LOCK; \
	INCQ point_aborts(DX)(SI*1); \
	MOVL $0, point_held(DX)(SI*1)

#include "variants_amd64.h"

// func spin(count uint32)
TEXT ·spin(SB), NOSPLIT, $0-4
	MOVL count+0(FP), R13
	PAUSE
	DECL R13
	JNE  -2(PC)
	RET
