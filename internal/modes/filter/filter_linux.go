//go:build amd64 || arm64

// Package filter installs seccomp filters that answer some system calls with an
// error, or kill who makes them, as sandboxes do.
package filter

import (
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are the system calls that can be denied.
var calls = map[string]uint32{
	"rseq":              unix.SYS_RSEQ,
	"membarrier":        unix.SYS_MEMBARRIER,
	"sched_setaffinity": unix.SYS_SCHED_SETAFFINITY,
	"sched_setattr":     unix.SYS_SCHED_SETATTR,
	"mbind":             unix.SYS_MBIND,
	"get_mempolicy":     unix.SYS_GET_MEMPOLICY,
	"madvise":           unix.SYS_MADVISE,
	"mmap":              unix.SYS_MMAP,
	"mprotect":          unix.SYS_MPROTECT,
}

// answers are what the kernel does instead, as a filter returns it.
var answers = map[string]uint32{
	"ENOSYS": returnErrno | uint32(unix.ENOSYS),
	"EPERM":  returnErrno | uint32(unix.EPERM),
	"EINVAL": returnErrno | uint32(unix.EINVAL),
	"ENOMEM": returnErrno | uint32(unix.ENOMEM),
	"TRAP":   returnTrap,
	"KILL":   returnKillProcess,
}

// Rule is a call and the answer that it gets.
type Rule struct {
	call, answer uint32
}

// Parse reads a rule such as "rseq=ENOSYS".
func Parse(text string) (Rule, error) {
	name, answer, _ := strings.Cut(text, "=")
	call, known := calls[name]
	value, knownAnswer := answers[answer]
	if !known || !knownAnswer {
		return Rule{}, fmt.Errorf("%q is no call=answer that this program knows", text)
	}
	return Rule{call, value}, nil
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

// program returns what the kernel runs at each system call. It does not look at
// the architecture, since the filtered programs use one only.
func program(rules []Rule) []unix.SockFilter {
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetOfNumber}}
	for _, r := range rules {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: r.call},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: r.answer})
	}
	return append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: returnAllow})
}

// Install puts the calling thread under a filter, for good. The threads and the
// programs that it starts have it, too.
func Install(rules []Rule) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	code := program(rules)
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, 0, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return fmt.Errorf("seccomp(SECCOMP_SET_MODE_FILTER): %w", errno)
	}
	return nil
}
