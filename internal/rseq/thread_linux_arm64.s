#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

// What works on the thread that it found itself on is no place from which a debugger
// may call functions, which could change that thread's area. -2 is UnsafePointUnsafe.
#define NO_CALLS PCDATA $PCDATA_UnsafePoint, $-2

// func isCgo() bool
TEXT ·isCgo(SB), NOSPLIT, $0-1
	MOVBU runtime·iscgo(SB), R0
	MOVB  R0, ret+0(FP)
	RET

// func threadWord() uintptr
// Returns the word that holds the area's address: zero, too, where clone(2)
// handed on the area of another M.
TEXT ·threadWord(SB), NOSPLIT, $0-8
	NO_CALLS
	MRS  TPIDR_EL0, R0
	CBZ  R0, done
	MOVD const_OffsetOwner(R0), R1
	MOVD const_OffsetOfM(g), R2
	CMP  R1, R2
	BEQ  done
	MOVD ZR, R0
done:
	MOVD R0, ret+0(FP)
	RET

// func threadG() (stored, register uintptr)
// On arm64 g is in its register only; both results are that.
TEXT ·threadG(SB), NOSPLIT, $0-16
	NO_CALLS
	MOVD g, stored+0(FP)
	MOVD g, register+8(FP)
	RET

// func threadPointer() uintptr
// Returns the thread pointer as it is.
TEXT ·threadPointer(SB), NOSPLIT, $0-8
	NO_CALLS
	MRS  TPIDR_EL0, R0
	MOVD R0, ret+0(FP)
	RET

// func fieldPair(offset, libcOffset uintptr, libc bool) uint64
// Reads two fields of this thread's area that stand side by side, with one load:
// the kernel, which writes them when it has interrupted the thread, comes before or
// after it. All ones where the thread has no area.
TEXT ·fieldPair(SB), NOSPLIT, $0-32
	NO_CALLS
	MOVD  offset+0(FP), R1
	MRS   TPIDR_EL0, R0
	MOVBU libc+16(FP), R2
	CBNZ  R2, libcArea
	CBZ   R0, none
	MOVD  const_OffsetOwner(R0), R2
	MOVD  const_OffsetOfM(g), R3
	CMP   R2, R3
	BNE   none
	MOVD  (R0)(R1), R0
	MOVD  R0, ret+24(FP)
	RET
libcArea:
	MOVD  libcOffset+8(FP), R2
	ADD   R2, R0
	MOVD  (R0)(R1), R0
	MOVD  R0, ret+24(FP)
	RET
none:
	MOVD $-1, R0
	MOVD R0, ret+24(FP)
	RET

// READ_FIELD reads exactly R1 bytes at offset R0 of this thread's area, with one load, if
// its cpu_id says that the kernel has the area: a field of the kernel's is whole in one
// load. R2 is the offset of libc's areas, R3 whether they are used. It leaves the value in
// R0, and in R1 whether that means something.
#define READ_FIELD \
	MRS   TPIDR_EL0, R4; \
	TBNZ  $0, R3, libcArea; \
	CBZ   R4, none; \
	MOVD  const_OffsetOwner(R4), R5; \
	MOVD  const_OffsetOfM(g), R6; \
	CMP   R5, R6; \
	BNE   none; \
area: \
	MOVWU const_OffsetCPUID(R4), R5; \
	TBNZ  $31, R5, none; \
	MOVD  R1, R5; \
	MOVD  $1, R1; \
	CMP   $4, R5; \
	BEQ   four; \
	BHI   eight; \
	CMP   $2, R5; \
	BEQ   two; \
	MOVBU (R4)(R0), R0; \
	B     read; \
two: \
	MOVHU (R4)(R0), R0; \
	B     read; \
four: \
	MOVWU (R4)(R0), R0; \
	B     read; \
eight: \
	MOVD  (R4)(R0), R0; \
	B     read; \
libcArea: \
	ADD   R2, R4; \
	B     area; \
none: \
	MOVD  ZR, R0; \
	MOVD  ZR, R1; \
read:

// The form for package regcall.
TEXT ·readField(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	READ_FIELD
	RET

// func readFieldEntry() unsafe.Pointer
TEXT ·readFieldEntry(SB), NOSPLIT, $0-8
	MOVD $·readField(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func value(offset, size, libcOffset uintptr, libc bool) (value, registered uintptr)
TEXT ·value(SB), NOSPLIT, $0-48
	NO_CALLS
	MOVD  offset+0(FP), R0
	MOVD  size+8(FP), R1
	MOVD  libcOffset+16(FP), R2
	MOVBU libc+24(FP), R3
	READ_FIELD
	MOVD  R0, value+32(FP)
	MOVD  R1, registered+40(FP)
	RET

// func register(area unsafe.Pointer, length uintptr, owner unsafe.Pointer) (errno uintptr)
// Registers area for the running thread and remembers it in TPIDR_EL0, or,
// where the kernel refuses, remembers it all the same: its ids say NoID. One
// function, so that the thread cannot change between its steps.
TEXT ·register(SB), NOSPLIT, $0-32
	NO_CALLS
	MRS  TPIDR_EL0, R0
	CBZ  R0, fresh
	MOVD const_OffsetOwner(R0), R1
	MOVD const_OffsetOfM(g), R2
	CMP  R1, R2
	BEQ  already
fresh:
	MOVD $const_sysGettid, R8
	SVC
	MOVD area+0(FP), R4
	MOVW R0, const_offsetTID(R4)
	MOVD owner+16(FP), R1
	MOVD R1, const_OffsetOwner(R4)
	MOVD R4, R0
	MOVD length+8(FP), R1
	MOVD ZR, R2
	MOVD $const_Signature, R3
	MOVD $const_sysRseq, R8
	SVC
	NEG  R0, R0
	MOVD R0, errno+24(FP)
	MOVD area+0(FP), R4
	MSR  R4, TPIDR_EL0
	RET
already:
	MOVD $const_alreadyRegistered, R0
	MOVD R0, errno+24(FP)
	RET

// func rawRseq(area, length uintptr) (errno uintptr)
// Asks the kernel for a registration and leaves TPIDR_EL0 alone.
TEXT ·rawRseq(SB), NOSPLIT, $0-24
	NO_CALLS
	MOVD area+0(FP), R0
	MOVD length+8(FP), R1
	MOVD ZR, R2
	MOVD $const_Signature, R3
	MOVD $const_sysRseq, R8
	SVC
	NEG  R0, R0
	MOVD R0, errno+16(FP)
	RET
