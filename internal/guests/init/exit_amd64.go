//go:build linux

package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// debugExitPort is the iobase that the runner gives isa-debug-exit.
const debugExitPort = 0xf4

// outByte writes a byte to an I/O port.
func outByte(port uint16, value uint8)

// endMachine writes to the debug exit's port. Debian's cloud kernels have no
// /dev/port, so this thread asks for the right to use the port itself.
func endMachine() {
	runtime.LockOSThread()
	if _, _, errno := unix.Syscall(unix.SYS_IOPERM, debugExitPort, 1, 1); errno != 0 {
		fmt.Println("init: debug exit: ioperm:", errno)
		return
	}
	outByte(debugExitPort, plan.DebugExitValue)
}
