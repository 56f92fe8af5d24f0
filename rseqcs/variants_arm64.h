// The variants of the sections, arm64: {self, libc} x {mm_cid, cpu_id},
// and by the P of Go.

// brk with the signature, and the mark before the anchor branches.
#define SIGNATURE WORD $const_signature
#define ANCHORS WORD $0x68636e61; WORD $0x3a73726f

// Go preempts no assembly, but lets a debugger call functions from it, and parks
// the goroutine meanwhile. A section marked so all over is no safe point: the
// runtime refuses the call (runtime/debugcall.go). It is no instruction; -2 is
// UnsafePointUnsafe of internal/abi.
#define NO_CALLS PCDATA $PCDATA_UnsafePoint, $-2

GLOBL descriptors<>(SB), NOPTR, $1760

DATA table<>+0(SB)/8, $·popSelfMMCID(SB)
DATA table<>+8(SB)/8, $·pushSelfMMCID(SB)
DATA table<>+16(SB)/8, $·popBatchSelfMMCID(SB)
DATA table<>+24(SB)/8, $·pushBatchSelfMMCID(SB)
DATA table<>+32(SB)/8, $·setHeaderSelfMMCID(SB)
DATA table<>+40(SB)/8, $·addSelfMMCID(SB)
DATA table<>+48(SB)/8, $·allocSelfMMCID(SB)
DATA table<>+56(SB)/8, $·allocZeroedSelfMMCID(SB)
DATA table<>+64(SB)/8, $·freeSelfMMCID(SB)
DATA table<>+72(SB)/8, $·getSelfMMCID(SB)
DATA table<>+80(SB)/8, $·putSelfMMCID(SB)
DATA table<>+88(SB)/8, $·popSelfCPUID(SB)
DATA table<>+96(SB)/8, $·pushSelfCPUID(SB)
DATA table<>+104(SB)/8, $·popBatchSelfCPUID(SB)
DATA table<>+112(SB)/8, $·pushBatchSelfCPUID(SB)
DATA table<>+120(SB)/8, $·setHeaderSelfCPUID(SB)
DATA table<>+128(SB)/8, $·addSelfCPUID(SB)
DATA table<>+136(SB)/8, $·allocSelfCPUID(SB)
DATA table<>+144(SB)/8, $·allocZeroedSelfCPUID(SB)
DATA table<>+152(SB)/8, $·freeSelfCPUID(SB)
DATA table<>+160(SB)/8, $·getSelfCPUID(SB)
DATA table<>+168(SB)/8, $·putSelfCPUID(SB)
DATA table<>+176(SB)/8, $·popLibcMMCID(SB)
DATA table<>+184(SB)/8, $·pushLibcMMCID(SB)
DATA table<>+192(SB)/8, $·popBatchLibcMMCID(SB)
DATA table<>+200(SB)/8, $·pushBatchLibcMMCID(SB)
DATA table<>+208(SB)/8, $·setHeaderLibcMMCID(SB)
DATA table<>+216(SB)/8, $·addLibcMMCID(SB)
DATA table<>+224(SB)/8, $·allocLibcMMCID(SB)
DATA table<>+232(SB)/8, $·allocZeroedLibcMMCID(SB)
DATA table<>+240(SB)/8, $·freeLibcMMCID(SB)
DATA table<>+248(SB)/8, $·getLibcMMCID(SB)
DATA table<>+256(SB)/8, $·putLibcMMCID(SB)
DATA table<>+264(SB)/8, $·popLibcCPUID(SB)
DATA table<>+272(SB)/8, $·pushLibcCPUID(SB)
DATA table<>+280(SB)/8, $·popBatchLibcCPUID(SB)
DATA table<>+288(SB)/8, $·pushBatchLibcCPUID(SB)
DATA table<>+296(SB)/8, $·setHeaderLibcCPUID(SB)
DATA table<>+304(SB)/8, $·addLibcCPUID(SB)
DATA table<>+312(SB)/8, $·allocLibcCPUID(SB)
DATA table<>+320(SB)/8, $·allocZeroedLibcCPUID(SB)
DATA table<>+328(SB)/8, $·freeLibcCPUID(SB)
DATA table<>+336(SB)/8, $·getLibcCPUID(SB)
DATA table<>+344(SB)/8, $·putLibcCPUID(SB)
DATA table<>+352(SB)/8, $·popByP(SB)
DATA table<>+360(SB)/8, $·pushByP(SB)
DATA table<>+368(SB)/8, $·popBatchByP(SB)
DATA table<>+376(SB)/8, $·pushBatchByP(SB)
DATA table<>+384(SB)/8, $·setHeaderByP(SB)
DATA table<>+392(SB)/8, $·addByP(SB)
DATA table<>+400(SB)/8, $·allocByP(SB)
DATA table<>+408(SB)/8, $·allocZeroedByP(SB)
DATA table<>+416(SB)/8, $·freeByP(SB)
DATA table<>+424(SB)/8, $·getByP(SB)
DATA table<>+432(SB)/8, $·putByP(SB)
GLOBL table<>(SB), RODATA, $440

// func sectionTable() *[variantCount][sectionCount]unsafe.Pointer
TEXT ·sectionTable(SB), NOSPLIT, $0-8
	MOVD $table<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func sectionDescriptors() *[variantCount][sectionCount]rseq.Descriptor
TEXT ·sectionDescriptors(SB), NOSPLIT, $0-8
	MOVD $descriptors<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// START stores the address of the descriptor in the area.
#define START(descriptor) MOVD $descriptor(SB), R5; MOVD R5, const_offsetCS(R4)

// Ours: TPIDR_EL0, unless clone handed it on from another M (see internal/rseq).
// Where the kernel refused, the ids say NoID, which the bound check catches.
#define AREA MRS TPIDR_EL0, R4; CBZ R4, none; MOVD const_offsetOwner(R4), R5; MOVD const_offsetOfM(g), R6; CMP R5, R6; BNE none
#define TRUST

#define ID const_offsetMMCID
#define POP ·popSelfMMCID
#define POP_DESCRIPTOR descriptors<>+0
#define PUSH ·pushSelfMMCID
#define PUSH_DESCRIPTOR descriptors<>+32
#define POP_BATCH ·popBatchSelfMMCID
#define POP_BATCH_DESCRIPTOR descriptors<>+64
#define PUSH_BATCH ·pushBatchSelfMMCID
#define PUSH_BATCH_DESCRIPTOR descriptors<>+96
#define SET_HEADER ·setHeaderSelfMMCID
#define SET_HEADER_DESCRIPTOR descriptors<>+128
#define ADD_CELL ·addSelfMMCID
#define ADD_CELL_DESCRIPTOR descriptors<>+160
#define ALLOC ·allocSelfMMCID
#define ALLOC_DESCRIPTOR descriptors<>+192
#define ALLOC_ZEROED ·allocZeroedSelfMMCID
#define ALLOC_ZEROED_DESCRIPTOR descriptors<>+224
#define FREE ·freeSelfMMCID
#define FREE_DESCRIPTOR descriptors<>+256
#define GET ·getSelfMMCID
#define GET_DESCRIPTOR descriptors<>+288
#define PUT ·putSelfMMCID
#define PUT_DESCRIPTOR descriptors<>+320
#include "sections_arm64.h"
#undef BEGIN
#undef ENTER
#undef LEAVE
#undef CLASS
#undef COARSE
#undef SIZES
#undef COARSE_SIZES
#undef COUNT
#undef STARTS
#undef CARRIED
#undef TAKE
#undef ELSE
#undef ID
#undef POP
#undef POP_DESCRIPTOR
#undef PUSH
#undef PUSH_DESCRIPTOR
#undef POP_BATCH
#undef POP_BATCH_DESCRIPTOR
#undef PUSH_BATCH
#undef PUSH_BATCH_DESCRIPTOR
#undef SET_HEADER
#undef SET_HEADER_DESCRIPTOR
#undef ADD_CELL
#undef ADD_CELL_DESCRIPTOR
#undef ALLOC
#undef ALLOC_DESCRIPTOR
#undef ALLOC_ZEROED
#undef ALLOC_ZEROED_DESCRIPTOR
#undef FREE
#undef FREE_DESCRIPTOR
#undef GET
#undef GET_DESCRIPTOR
#undef PUT
#undef PUT_DESCRIPTOR

#define ID const_offsetCPUID
#define POP ·popSelfCPUID
#define POP_DESCRIPTOR descriptors<>+352
#define PUSH ·pushSelfCPUID
#define PUSH_DESCRIPTOR descriptors<>+384
#define POP_BATCH ·popBatchSelfCPUID
#define POP_BATCH_DESCRIPTOR descriptors<>+416
#define PUSH_BATCH ·pushBatchSelfCPUID
#define PUSH_BATCH_DESCRIPTOR descriptors<>+448
#define SET_HEADER ·setHeaderSelfCPUID
#define SET_HEADER_DESCRIPTOR descriptors<>+480
#define ADD_CELL ·addSelfCPUID
#define ADD_CELL_DESCRIPTOR descriptors<>+512
#define ALLOC ·allocSelfCPUID
#define ALLOC_DESCRIPTOR descriptors<>+544
#define ALLOC_ZEROED ·allocZeroedSelfCPUID
#define ALLOC_ZEROED_DESCRIPTOR descriptors<>+576
#define FREE ·freeSelfCPUID
#define FREE_DESCRIPTOR descriptors<>+608
#define GET ·getSelfCPUID
#define GET_DESCRIPTOR descriptors<>+640
#define PUT ·putSelfCPUID
#define PUT_DESCRIPTOR descriptors<>+672
#include "sections_arm64.h"
#undef BEGIN
#undef ENTER
#undef LEAVE
#undef CLASS
#undef COARSE
#undef SIZES
#undef COARSE_SIZES
#undef COUNT
#undef STARTS
#undef CARRIED
#undef TAKE
#undef ELSE
#undef ID
#undef POP
#undef POP_DESCRIPTOR
#undef PUSH
#undef PUSH_DESCRIPTOR
#undef POP_BATCH
#undef POP_BATCH_DESCRIPTOR
#undef PUSH_BATCH
#undef PUSH_BATCH_DESCRIPTOR
#undef SET_HEADER
#undef SET_HEADER_DESCRIPTOR
#undef ADD_CELL
#undef ADD_CELL_DESCRIPTOR
#undef ALLOC
#undef ALLOC_DESCRIPTOR
#undef ALLOC_ZEROED
#undef ALLOC_ZEROED_DESCRIPTOR
#undef FREE
#undef FREE_DESCRIPTOR
#undef GET
#undef GET_DESCRIPTOR
#undef PUT
#undef PUT_DESCRIPTOR
#undef AREA
#undef TRUST
// libc's: at a fixed distance from the thread pointer. A thread whose
// registration failed has a negative cpu_id, and mm_cid 0 all the same.
#define AREA MRS TPIDR_EL0, R4; MOVD ·libcOffset(SB), R5; ADD R5, R4
#define TRUST MOVW const_offsetCPUID(R4), R5; TBNZ $31, R5, none

#define ID const_offsetMMCID
#define POP ·popLibcMMCID
#define POP_DESCRIPTOR descriptors<>+704
#define PUSH ·pushLibcMMCID
#define PUSH_DESCRIPTOR descriptors<>+736
#define POP_BATCH ·popBatchLibcMMCID
#define POP_BATCH_DESCRIPTOR descriptors<>+768
#define PUSH_BATCH ·pushBatchLibcMMCID
#define PUSH_BATCH_DESCRIPTOR descriptors<>+800
#define SET_HEADER ·setHeaderLibcMMCID
#define SET_HEADER_DESCRIPTOR descriptors<>+832
#define ADD_CELL ·addLibcMMCID
#define ADD_CELL_DESCRIPTOR descriptors<>+864
#define ALLOC ·allocLibcMMCID
#define ALLOC_DESCRIPTOR descriptors<>+896
#define ALLOC_ZEROED ·allocZeroedLibcMMCID
#define ALLOC_ZEROED_DESCRIPTOR descriptors<>+928
#define FREE ·freeLibcMMCID
#define FREE_DESCRIPTOR descriptors<>+960
#define GET ·getLibcMMCID
#define GET_DESCRIPTOR descriptors<>+992
#define PUT ·putLibcMMCID
#define PUT_DESCRIPTOR descriptors<>+1024
#include "sections_arm64.h"
#undef BEGIN
#undef ENTER
#undef LEAVE
#undef CLASS
#undef COARSE
#undef SIZES
#undef COARSE_SIZES
#undef COUNT
#undef STARTS
#undef CARRIED
#undef TAKE
#undef ELSE
#undef ID
#undef POP
#undef POP_DESCRIPTOR
#undef PUSH
#undef PUSH_DESCRIPTOR
#undef POP_BATCH
#undef POP_BATCH_DESCRIPTOR
#undef PUSH_BATCH
#undef PUSH_BATCH_DESCRIPTOR
#undef SET_HEADER
#undef SET_HEADER_DESCRIPTOR
#undef ADD_CELL
#undef ADD_CELL_DESCRIPTOR
#undef ALLOC
#undef ALLOC_DESCRIPTOR
#undef ALLOC_ZEROED
#undef ALLOC_ZEROED_DESCRIPTOR
#undef FREE
#undef FREE_DESCRIPTOR
#undef GET
#undef GET_DESCRIPTOR
#undef PUT
#undef PUT_DESCRIPTOR

#define ID const_offsetCPUID
#define POP ·popLibcCPUID
#define POP_DESCRIPTOR descriptors<>+1056
#define PUSH ·pushLibcCPUID
#define PUSH_DESCRIPTOR descriptors<>+1088
#define POP_BATCH ·popBatchLibcCPUID
#define POP_BATCH_DESCRIPTOR descriptors<>+1120
#define PUSH_BATCH ·pushBatchLibcCPUID
#define PUSH_BATCH_DESCRIPTOR descriptors<>+1152
#define SET_HEADER ·setHeaderLibcCPUID
#define SET_HEADER_DESCRIPTOR descriptors<>+1184
#define ADD_CELL ·addLibcCPUID
#define ADD_CELL_DESCRIPTOR descriptors<>+1216
#define ALLOC ·allocLibcCPUID
#define ALLOC_DESCRIPTOR descriptors<>+1248
#define ALLOC_ZEROED ·allocZeroedLibcCPUID
#define ALLOC_ZEROED_DESCRIPTOR descriptors<>+1280
#define FREE ·freeLibcCPUID
#define FREE_DESCRIPTOR descriptors<>+1312
#define GET ·getLibcCPUID
#define GET_DESCRIPTOR descriptors<>+1344
#define PUT ·putLibcCPUID
#define PUT_DESCRIPTOR descriptors<>+1376
#include "sections_arm64.h"
#undef BEGIN
#undef ENTER
#undef LEAVE
#undef CLASS
#undef COARSE
#undef SIZES
#undef COARSE_SIZES
#undef COUNT
#undef STARTS
#undef CARRIED
#undef TAKE
#undef ELSE
#undef ID
#undef POP
#undef POP_DESCRIPTOR
#undef PUSH
#undef PUSH_DESCRIPTOR
#undef POP_BATCH
#undef POP_BATCH_DESCRIPTOR
#undef PUSH_BATCH
#undef PUSH_BATCH_DESCRIPTOR
#undef SET_HEADER
#undef SET_HEADER_DESCRIPTOR
#undef ADD_CELL
#undef ADD_CELL_DESCRIPTOR
#undef ALLOC
#undef ALLOC_DESCRIPTOR
#undef ALLOC_ZEROED
#undef ALLOC_ZEROED_DESCRIPTOR
#undef FREE
#undef FREE_DESCRIPTOR
#undef GET
#undef GET_DESCRIPTOR
#undef PUT
#undef PUT_DESCRIPTOR
#undef AREA
#undef TRUST
#undef START

// The P of the running goroutine stands where the area does in the others, and
// its index is the id. The kernel need not hear of the section: Go preempts no
// assembly, so the goroutine keeps its P until the end, and what interrupts the
// thread does not run another goroutine on it. ABORT is never reached.
#define START(descriptor)
#define TRUST
#define AREA MOVD const_offsetOfM(g), R4; MOVD ·offsetOfP(SB), R5; MOVD (R4)(R5), R4

#define ID const_offsetP
#define POP ·popByP
#define POP_DESCRIPTOR descriptors<>+1408
#define PUSH ·pushByP
#define PUSH_DESCRIPTOR descriptors<>+1440
#define POP_BATCH ·popBatchByP
#define POP_BATCH_DESCRIPTOR descriptors<>+1472
#define PUSH_BATCH ·pushBatchByP
#define PUSH_BATCH_DESCRIPTOR descriptors<>+1504
#define SET_HEADER ·setHeaderByP
#define SET_HEADER_DESCRIPTOR descriptors<>+1536
#define ADD_CELL ·addByP
#define ADD_CELL_DESCRIPTOR descriptors<>+1568
#define ALLOC ·allocByP
#define ALLOC_DESCRIPTOR descriptors<>+1600
#define ALLOC_ZEROED ·allocZeroedByP
#define ALLOC_ZEROED_DESCRIPTOR descriptors<>+1632
#define FREE ·freeByP
#define FREE_DESCRIPTOR descriptors<>+1664
#define GET ·getByP
#define GET_DESCRIPTOR descriptors<>+1696
#define PUT ·putByP
#define PUT_DESCRIPTOR descriptors<>+1728
#include "sections_arm64.h"
#undef BEGIN
#undef ENTER
#undef LEAVE
#undef CLASS
#undef COARSE
#undef SIZES
#undef COARSE_SIZES
#undef COUNT
#undef STARTS
#undef CARRIED
#undef TAKE
#undef ELSE
