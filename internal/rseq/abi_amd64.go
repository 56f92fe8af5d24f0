package rseq

// Signature stands before every abort label: the operand of a ud1, so that a
// jump into it traps.
const Signature = 0x53053053

const (
	sysRseq   = 334
	sysGettid = 186
	sysTgkill = 234
)
