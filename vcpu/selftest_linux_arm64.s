#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

// brk with the signature, and the mark before the anchor branches.
#define SIGNATURE WORD $const_signature
#define ANCHORS WORD $0x68636e61; WORD $0x3a73726f

// No debugger may call from a section (rseqcs/variants_arm64.h); -2 is UnsafePointUnsafe.
#define NO_CALLS PCDATA $PCDATA_UnsafePoint, $-2

GLOBL descriptors<>(SB), NOPTR, $64

DATA table<>+0(SB)/8, $·holdSelf(SB)
DATA table<>+8(SB)/8, $·holdLibc(SB)
GLOBL table<>(SB), RODATA, $16

// func sectionTable() *[sectionCount]unsafe.Pointer
TEXT ·sectionTable(SB), NOSPLIT, $0-8
	MOVD $table<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func sectionDescriptors() *[sectionCount]rseq.Descriptor
TEXT ·sectionDescriptors(SB), NOSPLIT, $0-8
	MOVD $descriptors<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func intrude(cell, stop *atomic.Uint32, sleep *unix.Timespec, mark uint32)
TEXT ·intrude(SB), NOSPLIT, $0-28
	NO_CALLS
again:
	MOVD  sleep+16(FP), R0
	MOVD  ZR, R1
	MOVD  $const_sysNanosleep, R8
	SVC
	MOVD  cell+0(FP), R0
	MOVWU mark+24(FP), R1
	MOVW  R1, (R0)
	MOVD  stop+8(FP), R0
	MOVWU (R0), R1
	CBZW  R1, again
	RET

// Ours: TPIDR_EL0, unless it is handed on from another M, see internal/rseq.
#define AREA MRS TPIDR_EL0, R4; CBZ R4, noArea; MOVD const_offsetOwner(R4), R5; MOVD const_offsetOfM(g), R6; CMP R5, R6; BNE noArea
#define HOLD ·holdSelf
#define HOLD_DESCRIPTOR descriptors<>+0
#include "selftest_arm64.h"
#undef AREA
#undef HOLD
#undef HOLD_DESCRIPTOR

// libc's: at a fixed distance from the thread pointer.
#define AREA MRS TPIDR_EL0, R4; MOVD ·libcOffset(SB), R5; ADD R5, R4
#define HOLD ·holdLibc
#define HOLD_DESCRIPTOR descriptors<>+32
#include "selftest_arm64.h"
