#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

// ud1 with the signature as its operand, and the mark before the anchor jumps.
#define SIGNATURE BYTE $0x0f; BYTE $0xb9; BYTE $0x3d; LONG $const_signature
#define ANCHORS LONG $0x68636e61; LONG $0x3a73726f

// No debugger may call from a section (rseqcs/variants_amd64.h); -2 is UnsafePointUnsafe.
#define NO_CALLS PCDATA $PCDATA_UnsafePoint, $-2

GLOBL descriptors<>(SB), NOPTR, $64

DATA table<>+0(SB)/8, $·holdSelf(SB)
DATA table<>+8(SB)/8, $·holdLibc(SB)
GLOBL table<>(SB), RODATA, $16

// func sectionTable() *[sectionCount]unsafe.Pointer
TEXT ·sectionTable(SB), NOSPLIT, $0-8
	LEAQ table<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func sectionDescriptors() *[sectionCount]rseq.Descriptor
TEXT ·sectionDescriptors(SB), NOSPLIT, $0-8
	LEAQ descriptors<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func intrude(cell, stop *atomic.Uint32, sleep *unix.Timespec, mark uint32)
TEXT ·intrude(SB), NOSPLIT, $0-28
	NO_CALLS
again:
	MOVQ sleep+16(FP), DI
	XORL SI, SI
	MOVL $const_sysNanosleep, AX
	SYSCALL
	MOVQ cell+0(FP), DI
	MOVL mark+24(FP), AX
	MOVL AX, (DI)
	MOVQ stop+8(FP), DI
	MOVL (DI), AX
	TESTL AX, AX
	JEQ  again
	RET

// Ours: the spare word of m.tls, see internal/rseq.
#define AREA MOVQ 24(FS), R8; TESTQ R8, R8; JEQ noArea
#define HOLD ·holdSelf
#define HOLD_DESCRIPTOR descriptors<>+0
#include "selftest_amd64.h"
#undef AREA
#undef HOLD
#undef HOLD_DESCRIPTOR

// libc's: at a fixed distance from the thread pointer.
#define AREA MOVQ 0(FS), R8; ADDQ ·libcOffset(SB), R8
#define HOLD ·holdLibc
#define HOLD_DESCRIPTOR descriptors<>+32
#include "selftest_amd64.h"
