//go:build vcpualloc_stalled

#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

// The injection points; points_linux.go says what they do. DX holds those of the
// section, SI the number of the one that the thread is at, or 0, and R8 the area
// to the end. Everything is in line, since the kernel does not abort a function that a section calls.
#define POINTS(section) LEAQ ·points+(section*const_pointsSize)(SB), DX

#define POINT(number) \
	MOVL $number, SI; \
	CMPQ (number*const_pointSize+point_who)(DX), $const_anybody; \
	JNE  2(PC); \
	MOVQ R8, (number*const_pointSize+point_who)(DX); \
	CMPQ R8, (number*const_pointSize+point_who)(DX); \
	JNE  8(PC); \
	INCL (number*const_pointSize+point_waits)(DX); \
	MOVL (number*const_pointSize+point_turns)(DX), R13; \
	PAUSE; \
	DECL R13; \
	JEQ  3(PC); \
	CMPQ R8, (number*const_pointSize+point_who)(DX); \
	JEQ  -4(PC); \
	MOVL (number*const_pointSize+point_spins)(DX), R13; \
	INCL R13; \
	PAUSE; \
	DECL R13; \
	JNE  -2(PC); \
	XORL SI, SI

#define ABORTED \
	SHLL $const_pointShift, SI; \
	LOCK; \
	INCQ point_aborts(DX)(SI*1)

#include "variants_amd64.h"

// func spin(count uint32)
TEXT ·spin(SB), NOSPLIT, $0-4
	MOVL count+0(FP), R13
	PAUSE
	DECL R13
	JNE  -2(PC)
	RET
