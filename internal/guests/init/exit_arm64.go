//go:build linux

package main

import (
	"runtime"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// From "Semihosting for AArch32 and AArch64", Arm, release 2.0, section 7.
const (
	semihostExit            = 0x18    // SYS_EXIT
	stoppedApplicationExits = 0x20026 // ADP_Stopped_ApplicationExit
)

// semihost asks the emulator for an operation. A machine without semihosting
// answers with an undefined-instruction signal.
//
//go:noescape
func semihost(operation uintptr, argument *[2]uintptr) uintptr

func endMachine() {
	block := &[2]uintptr{stoppedApplicationExits, plan.DebugExit}
	semihost(semihostExit, block)
	runtime.KeepAlive(block)
}
