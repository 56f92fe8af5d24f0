//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// endWithChildren makes the end of the command's context the end of all that the
// command has started: the go command leaves a test program that hangs behind.
func endWithChildren(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}
