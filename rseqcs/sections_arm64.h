// The critical sections, arm64. Included once for each way to find the thread's
// area and each id that indexes; variants_arm64.h defines what differs:
//
//	AREA     loads the address of this thread's rseq area into R4, or leaves for none
//	ANNOUNCE tells the kernel that the section starts
//	ID       offset of the indexing field in the area
//	TRUST    leaves for none if the kernel does not fill in the area
//	STALL    nothing, or a delay in the stalled build
//
// Arguments are in R0 to R3, the result is in R0. They are the inputs that a
// restart needs, so no section changes them before its commit; POP and PUSH
// return R1, R2 and R3 as they are. The pseudo-code
// of each section stands in sections.go. The commits are store-releases: what a
// section stored before is seen first by whoever drains the slab later.
//
//	register  holds                         live from, to
//	R0        base of the slabs             entry, commit
//	R1        class                         entry, commit
//	R2        object or array               entry, commit
//	R3        count or header               entry, commit
//	R4        area                          again, id read
//	R5        descriptor, scratch           again, commit
//	R6        id, then slab                 id read, commit
//	R7        current                       its load, commit
//	R8        object, sum or slots          its load, commit
//	R9        restarts left                 entry, abort
//	R10       address of a slot             its use
//	R11       address of the header         id read, commit
//	R12       scratch of STALL and ABORT

// popFunc: takes the newest object of the class, or returns nil.
TEXT POP(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_maxRestarts, R9
again:
	AREA
	ANNOUNCE(POP_DESCRIPTOR) // START
start:
	STALL
	TRUST
	MOVWU ID(R4), R6
	MOVWU const_controlCount(R0), R5
	CMPW  R5, R6
	BHS   none
	ADD   R6<<const_slabShift, R0, R6
	ADD   R1<<3, R6, R11
	STALL
	// The newest object; the word below the oldest is nil.
	MOVWU (R11), R7
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CBZ   R8, none
	SUBW  $8, R7
	STALL
	STLRW R7, (R11) // COMMIT
committed:
	MOVD  R8, R0
	RET
none:
	MOVD  ZR, R0
	RET
	SIGNATURE
abort: // ABORT
	MOVD  $·aborts(SB), R5
count:
	LDAXR (R5), R10
	ADD   $1, R10
	STLXR R10, (R5), R12
	CBNZW R12, count
	SUB   $1, R9
	CBNZ  R9, again
	MOVD  ZR, R0
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort

// pushFunc: adds an object to the class; returns pushed, full or duplicate.
TEXT PUSH(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_maxRestarts, R9
again:
	AREA
	ANNOUNCE(PUSH_DESCRIPTOR) // START
start:
	STALL
	TRUST
	MOVWU ID(R4), R6
	MOVWU const_controlCount(R0), R5
	CMPW  R5, R6
	BHS   none
	ADD   R6<<const_slabShift, R0, R6
	ADD   R1<<3, R6, R11
	STALL
	// Room, and not the newest object once more.
	MOVWU (R11), R7
	MOVWU 4(R11), R5
	CMPW  R5, R7
	BHS   none
	ADD   R7, R6, R10
	MOVD  -8(R10), R8
	CMP   R2, R8
	BEQ   duplicate
	// Above current nobody looks before the commit.
	MOVD  R2, (R10)
	ADDW  $8, R7
	STALL
	STLRW R7, (R11) // COMMIT
committed:
	MOVD  ZR, R0
	RET
duplicate:
	MOVD  $const_duplicate, R0
	RET
none:
	MOVD  $const_full, R0
	RET
	SIGNATURE
abort: // ABORT
	MOVD  $·aborts(SB), R5
count:
	LDAXR (R5), R10
	ADD   $1, R10
	STLXR R10, (R5), R12
	CBNZW R12, count
	SUB   $1, R9
	CBNZ  R9, again
	MOVD  $const_full, R0
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort

// func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr
// Takes up to count objects into an array, newest first; returns how many.
TEXT POP_BATCH(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_maxRestarts, R9
again:
	AREA
	ANNOUNCE(POP_BATCH_DESCRIPTOR) // START
start:
	STALL
	TRUST
	MOVWU ID(R4), R6
	MOVWU const_controlCount(R0), R5
	CMPW  R5, R6
	BHS   none
	ADD   R6<<const_slabShift, R0, R6
	ADD   R1<<3, R6, R11
	STALL
	MOVWU (R11), R7
	MOVD  ZR, R8
next:
	CMP   R3, R8
	BHS   taken
	ADD   R7, R6, R10
	MOVD  -8(R10), R5
	CBZ   R5, taken
	MOVD  R5, (R2)(R8<<3)
	SUBW  $8, R7
	ADD   $1, R8
	JMP   next
taken:
	STALL
	STLRW R7, (R11) // COMMIT
committed:
	MOVD  R8, R0
	RET
none:
	MOVD  ZR, R0
	RET
	SIGNATURE
abort: // ABORT
	MOVD  $·aborts(SB), R5
count:
	LDAXR (R5), R10
	ADD   $1, R10
	STLXR R10, (R5), R12
	CBNZW R12, count
	SUB   $1, R9
	CBNZ  R9, again
	MOVD  ZR, R0
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort

// func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr
// Adds up to count objects of an array, in its order; returns how many.
TEXT PUSH_BATCH(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_maxRestarts, R9
again:
	AREA
	ANNOUNCE(PUSH_BATCH_DESCRIPTOR) // START
start:
	STALL
	TRUST
	MOVWU ID(R4), R6
	MOVWU const_controlCount(R0), R5
	CMPW  R5, R6
	BHS   none
	ADD   R6<<const_slabShift, R0, R6
	ADD   R1<<3, R6, R11
	STALL
	MOVWU (R11), R7
	MOVD  ZR, R8
next:
	CMP   R3, R8
	BHS   added
	MOVWU 4(R11), R5
	CMPW  R5, R7
	BHS   added
	MOVD  (R2)(R8<<3), R5
	MOVD  R5, (R6)(R7)
	ADDW  $8, R7
	ADD   $1, R8
	JMP   next
added:
	STALL
	STLRW R7, (R11) // COMMIT
committed:
	MOVD  R8, R0
	RET
none:
	MOVD  ZR, R0
	RET
	SIGNATURE
abort: // ABORT
	MOVD  $·aborts(SB), R5
count:
	LDAXR (R5), R10
	ADD   $1, R10
	STLXR R10, (R5), R12
	CBNZW R12, count
	SUB   $1, R9
	CBNZ  R9, again
	MOVD  ZR, R0
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort

// func(base unsafe.Pointer, class uintptr, _ unsafe.Pointer, header uintptr) uintptr
// Stores the header of the class if it is zero; returns stored or kept.
TEXT SET_HEADER(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_maxRestarts, R9
again:
	AREA
	ANNOUNCE(SET_HEADER_DESCRIPTOR) // START
start:
	STALL
	TRUST
	MOVWU ID(R4), R6
	MOVWU const_controlCount(R0), R5
	CMPW  R5, R6
	BHS   none
	ADD   R6<<const_slabShift, R0, R6
	ADD   R1<<3, R6, R11
	STALL
	MOVD  (R11), R5
	CBNZ  R5, none
	STALL
	STLR  R3, (R11) // COMMIT
committed:
	MOVD  $const_stored, R0
	RET
none:
	MOVD  ZR, R0
	RET
	SIGNATURE
abort: // ABORT
	MOVD  $·aborts(SB), R5
count:
	LDAXR (R5), R10
	ADD   $1, R10
	STLXR R10, (R5), R12
	CBNZW R12, count
	SUB   $1, R9
	CBNZ  R9, again
	MOVD  ZR, R0
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort

// func(cells unsafe.Pointer, delta uintptr) uintptr
// Adds delta to the cell of this thread's id; returns stored or kept.
TEXT ADD_CELL(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_maxRestarts, R9
again:
	AREA
	ANNOUNCE(ADD_CELL_DESCRIPTOR) // START
start:
	STALL
	TRUST
	MOVWU ID(R4), R6
	MOVWU const_controlCount(R0), R5
	CMPW  R5, R6
	BHS   none
	ADD   R6<<const_cellShift, R0, R6
	STALL
	MOVD  (R6), R8
	ADD   R1, R8
	STALL
	STLR  R8, (R6) // COMMIT
committed:
	MOVD  $const_stored, R0
	RET
none:
	MOVD  ZR, R0
	RET
	SIGNATURE
abort: // ABORT
	MOVD  $·aborts(SB), R5
count:
	LDAXR (R5), R10
	ADD   $1, R10
	STLXR R10, (R5), R12
	CBNZW R12, count
	SUB   $1, R9
	CBNZ  R9, again
	MOVD  ZR, R0
	RET
	ANCHORS
	JMP   start
	JMP   committed
	JMP   abort
