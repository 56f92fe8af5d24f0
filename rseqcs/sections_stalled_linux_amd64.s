//go:build vcpualloc_stalled

#include "textflag.h"
#include "go_asm.h"

// A delay between the steps, so that nearly every interruption falls inside a
// section. The tests of this build demand aborts.
#define STALL MOVL $const_stallSpins, R13; PAUSE; DECL R13; JNE -2(PC)
#include "variants_amd64.h"
