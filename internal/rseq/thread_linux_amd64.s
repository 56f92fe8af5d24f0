#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

// What works on the thread that it found itself on is no place from which a debugger
// may call functions, which could change that thread's area. -2 is UnsafePointUnsafe.
#define NO_CALLS PCDATA $PCDATA_UnsafePoint, $-2

// The spare word of m.tls that holds the pointer to this thread's area: FS is
// &m.tls[1], so 24(FS) is m.tls[4]. rseqcs and vcpu use the same word.
#define WORD 24(FS)

// func isCgo() bool
TEXT ·isCgo(SB), NOSPLIT, $0-1
	MOVBLZX runtime·iscgo(SB), AX
	MOVB    AX, ret+0(FP)
	RET

// func threadWord() uintptr
// Returns the word that holds the area's address.
TEXT ·threadWord(SB), NOSPLIT, $0-8
	NO_CALLS
	MOVQ WORD, AX
	MOVQ AX, ret+0(FP)
	RET

// func threadG() (stored, register uintptr)
// Returns g as the runtime stored it before FS, and g in its register. The
// wrapper of an assembly function leaves R14 alone.
TEXT ·threadG(SB), NOSPLIT, $0-16
	NO_CALLS
	MOVQ -8(FS), AX
	MOVQ AX, stored+0(FP)
	MOVQ R14, register+8(FP)
	RET

// func threadPointer() uintptr
// Returns the C library's thread pointer, kept by the ELF ABI at 0(FS).
TEXT ·threadPointer(SB), NOSPLIT, $0-8
	NO_CALLS
	MOVQ 0(FS), AX
	MOVQ AX, ret+0(FP)
	RET

// func fieldPair(offset, libcOffset uintptr, libc bool) uint64
// Reads two fields of this thread's area that stand side by side, with one load:
// the kernel, which writes them when it has interrupted the thread, comes before or
// after it. All ones where the thread has no area.
TEXT ·fieldPair(SB), NOSPLIT, $0-32
	NO_CALLS
	MOVQ offset+0(FP), BX
	CMPB libc+16(FP), $0
	JNE  libcArea
	MOVQ WORD, AX
	TESTQ AX, AX
	JEQ  none
	MOVQ (AX)(BX*1), AX
	MOVQ AX, ret+24(FP)
	RET
libcArea:
	MOVQ 0(FS), AX
	ADDQ libcOffset+8(FP), AX
	MOVQ (AX)(BX*1), AX
	MOVQ AX, ret+24(FP)
	RET
none:
	MOVQ $-1, AX
	MOVQ AX, ret+24(FP)
	RET

// READ_FIELD reads exactly BX bytes at offset AX of this thread's area, with one load, if
// its cpu_id says that the kernel has the area: a field of the kernel's is whole in one
// load. CX is the offset of libc's areas, DI whether they are used. It leaves the value in
// AX, and in BX whether that means something.
#define READ_FIELD \
	TESTB DI, DI; \
	JNE   libcArea; \
	MOVQ  WORD, DX; \
	TESTQ DX, DX; \
	JEQ   none; \
area: \
	CMPL  const_OffsetCPUID(DX), $0; \
	JLT   none; \
	ADDQ  DX, AX; \
	CMPQ  BX, $4; \
	JEQ   four; \
	JHI   eight; \
	CMPQ  BX, $2; \
	MOVL  $1, BX; \
	JEQ   two; \
	MOVBLZX (AX), AX; \
	JMP   read; \
two: \
	MOVWLZX (AX), AX; \
	JMP   read; \
four: \
	MOVL  $1, BX; \
	MOVL  (AX), AX; \
	JMP   read; \
eight: \
	MOVL  $1, BX; \
	MOVQ  (AX), AX; \
	JMP   read; \
libcArea: \
	MOVQ  0(FS), DX; \
	ADDQ  CX, DX; \
	JMP   area; \
none: \
	XORL  AX, AX; \
	XORL  BX, BX; \
read:

// The form for package regcall.
TEXT ·readField(SB), NOSPLIT|NOFRAME, $0-0
	NO_CALLS
	READ_FIELD
	RET

// func readFieldEntry() unsafe.Pointer
TEXT ·readFieldEntry(SB), NOSPLIT, $0-8
	LEAQ ·readField(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func value(offset, size, libcOffset uintptr, libc bool) (value, registered uintptr)
TEXT ·value(SB), NOSPLIT, $0-48
	NO_CALLS
	MOVQ offset+0(FP), AX
	MOVQ size+8(FP), BX
	MOVQ libcOffset+16(FP), CX
	MOVBLZX libc+24(FP), DI
	READ_FIELD
	MOVQ AX, value+32(FP)
	MOVQ BX, registered+40(FP)
	RET

// func register(area unsafe.Pointer, length uintptr, owner unsafe.Pointer) (errno uintptr)
// Registers area for the running thread and remembers it in WORD, or, where
// the kernel refuses, remembers it all the same: its ids say NoID. One
// function, so that the thread cannot change between its steps.
TEXT ·register(SB), NOSPLIT, $0-32
	NO_CALLS
	MOVQ  WORD, AX
	TESTQ AX, AX
	JNE   already
	MOVL  $const_sysGettid, AX
	SYSCALL
	MOVQ  area+0(FP), DI
	MOVL  AX, const_offsetTID(DI)
	MOVQ  owner+16(FP), AX
	MOVQ  AX, const_OffsetOwner(DI)
	MOVQ  length+8(FP), SI
	XORL  DX, DX
	MOVL  $const_Signature, R10
	MOVL  $const_sysRseq, AX
	SYSCALL
	NEGQ  AX
	MOVQ  AX, errno+24(FP)
	MOVQ  area+0(FP), DI
	MOVQ  DI, WORD
	RET
already:
	MOVQ $const_alreadyRegistered, errno+24(FP)
	RET

// func rawRseq(area, length uintptr) (errno uintptr)
// Asks the kernel for a registration and leaves WORD alone.
TEXT ·rawRseq(SB), NOSPLIT, $0-24
	NO_CALLS
	MOVQ area+0(FP), DI
	MOVQ length+8(FP), SI
	XORL DX, DX
	MOVL $const_Signature, R10
	MOVL $const_sysRseq, AX
	SYSCALL
	NEGQ AX
	MOVQ AX, errno+16(FP)
	RET
