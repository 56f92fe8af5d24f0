//go:build vcpualloc_stalled

#include "textflag.h"
#include "go_asm.h"

// A delay between the steps, so that nearly every interruption falls inside a
// section. The tests of this build demand aborts.
#define STALL MOVD $const_stallSpins, R12; YIELD; SUB $1, R12; CBNZ R12, -2(PC)
#include "variants_arm64.h"
