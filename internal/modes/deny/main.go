//go:build linux && (amd64 || arm64)

// Command deny runs a program under a seccomp filter:
//
//	deny rseq=ENOSYS membarrier=EPERM -- program argument…
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/vcpualloc/vcpualloc/internal/modes/filter"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "deny:", err)
		os.Exit(125)
	}
}

func run(arguments []string) error {
	// Filters belong to a thread, and exec keeps those of its caller.
	runtime.LockOSThread()
	var rules []filter.Rule
	for len(arguments) > 0 && arguments[0] != "--" {
		rule, err := filter.Parse(arguments[0])
		if err != nil {
			return err
		}
		rules = append(rules, rule)
		arguments = arguments[1:]
	}
	if len(arguments) < 2 {
		return errors.New("usage: deny call=answer… -- program argument…")
	}
	if err := filter.Install(rules); err != nil {
		return err
	}
	program := arguments[1]
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, arguments[1:], os.Environ()))
}
