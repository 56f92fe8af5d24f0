package rseq

// Signature stands before every abort label; as an instruction it is brk #0x45e0.
const Signature = 0xd428bc00

const (
	sysRseq   = 293
	sysGettid = 178
	sysTgkill = 131
)
