//go:build linux && (amd64 || arm64)

// Command deny runs a program under a seccomp filter that answers some system
// calls with an error, or kills who makes them, as sandboxes do:
//
//	deny rseq=ENOSYS membarrier=EPERM -- program argument…
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "deny:", err)
		os.Exit(125)
	}
}

// calls are the system calls that can be denied.
var calls = map[string]uint32{
	"rseq":              unix.SYS_RSEQ,
	"membarrier":        unix.SYS_MEMBARRIER,
	"sched_setaffinity": unix.SYS_SCHED_SETAFFINITY,
	"sched_setattr":     unix.SYS_SCHED_SETATTR,
}

// answers are what the kernel does instead, as a filter returns it.
var answers = map[string]uint32{
	"ENOSYS": returnErrno | uint32(unix.ENOSYS),
	"EPERM":  returnErrno | uint32(unix.EPERM),
	"EINVAL": returnErrno | uint32(unix.EINVAL),
	"TRAP":   returnTrap,
	"KILL":   returnKillProcess,
}

func run(arguments []string) error {
	// Filters belong to a thread, and exec keeps those of its caller.
	runtime.LockOSThread()
	var rules []rule
	for len(arguments) > 0 && arguments[0] != "--" {
		name, answer, _ := strings.Cut(arguments[0], "=")
		call, known := calls[name]
		value, knownAnswer := answers[answer]
		if !known || !knownAnswer {
			return fmt.Errorf("%q is no call=answer that this program knows", arguments[0])
		}
		rules = append(rules, rule{call, value})
		arguments = arguments[1:]
	}
	if len(arguments) < 2 {
		return errors.New("usage: deny call=answer… -- program argument…")
	}
	if err := install(filter(rules)); err != nil {
		return err
	}
	program := arguments[1]
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, arguments[1:], os.Environ()))
}

// rule is a call and the answer that it gets.
type rule struct {
	call, answer uint32
}

// Of include/uapi/linux/seccomp.h.
const (
	setModeFilter     = 1
	returnKillProcess = 0x80000000
	returnTrap        = 0x00030000
	returnErrno       = 0x00050000
	returnAllow       = 0x7fff0000
	offsetOfNumber    = 0 // in struct seccomp_data
)

// filter returns the program that the kernel runs at each system call. It does
// not look at the architecture, since the programs use one only.
func filter(rules []rule) []unix.SockFilter {
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetOfNumber}}
	for _, r := range rules {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: r.call},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: r.answer})
	}
	return append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: returnAllow})
}

func install(code []unix.SockFilter) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp(SECCOMP_SET_MODE_FILTER): %w", errno)
	}
	return nil
}
