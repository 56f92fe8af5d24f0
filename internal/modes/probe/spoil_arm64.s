#include "textflag.h"

// func spoilThreadWord()
TEXT ·spoilThreadWord(SB), NOSPLIT, $0-0
	MOVD $0x5011, R0
	MSR  R0, TPIDR_EL0
	RET
