//go:build !vcpualloc_stalled

#include "textflag.h"
#include "funcdata.h"
#include "go_asm.h"

#define POINTS(section)
#define POINT(number)
#define ABORTED
#include "variants_amd64.h"
