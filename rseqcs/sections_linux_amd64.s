//go:build !vcpualloc_stalled

#include "textflag.h"
#include "go_asm.h"

#define STALL
#include "variants_amd64.h"
