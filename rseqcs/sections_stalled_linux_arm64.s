//go:build vcpualloc_stalled

#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

// The injection points; points_linux.go says what they do. R13 holds those of the
// section, R14 the number of the one that the thread is at, or 0, and R4 the area
// to the end. Everything is in line, since the kernel does not abort a function that a section calls.
#define POINTS(section) MOVD $·points+(section*const_pointsSize)(SB), R13

#define POINT(number) \
	MOVW  $number, R14; \
	MOVD  (number*const_pointSize+point_who)(R13), R15; \
	CMP   $const_anybody, R15; \
	BNE   3(PC); \
	MOVD  R4, (number*const_pointSize+point_who)(R13); \
	MOVD  R4, R15; \
	CMP   R4, R15; \
	BNE   11(PC); \
	MOVWU (number*const_pointSize+point_waits)(R13), R12; \
	ADDW  $1, R12; \
	MOVW  R12, (number*const_pointSize+point_waits)(R13); \
	MOVWU (number*const_pointSize+point_turns)(R13), R12; \
	YIELD; \
	SUBW  $1, R12; \
	CBZW  R12, 4(PC); \
	MOVD  (number*const_pointSize+point_who)(R13), R15; \
	CMP   R4, R15; \
	BEQ   -5(PC); \
	MOVWU (number*const_pointSize+point_spins)(R13), R12; \
	ADDW  $1, R12; \
	YIELD; \
	SUBW  $1, R12; \
	CBNZW R12, -2(PC); \
	MOVW  ZR, R14

#define ABORTED \
	ADD   R14<<const_pointShift, R13, R14; \
	ADD   $point_aborts, R14, R14; \
	LDAXR (R14), R15; \
	ADD   $1, R15; \
	STLXR R15, (R14), R12; \
	CBNZW R12, -3(PC)

#include "variants_arm64.h"

// func spin(count uint32)
TEXT ·spin(SB), NOSPLIT, $0-4
	MOVWU count+0(FP), R12
	YIELD
	SUBW  $1, R12
	CBNZW R12, -2(PC)
	RET
