//go:build linux && (amd64 || arm64)

// Command bounds runs the allocator where the machine gives little: without promises
// of memory (vm.overcommit_memory=2), in groups with memory.max and memory.high, and
// without /proc. It sets these for the whole machine, so it runs as root in a guest.
// Each case is a process of its own; it ends with status 1 if one of them failed.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// bound is one case: inside runs in a process for which before has prepared the
// machine, and after undoes that.
type bound struct {
	name          string
	before, after func() error
	inside        func() error
}

func nothing() error { return nil }

var bounds = []bound{
	{"overcommit", func() error { return promise("2") }, func() error { return promise("0") }, withoutPromises},
	{"memory.max", func() error { return makeGroups(groupMax, "max") }, removeGroups, insideGroup},
	{"memory.high", func() error { return makeGroups("max", groupHigh) }, removeGroups, insideGroup},
	{"no-proc", nothing, nothing, withoutProc},
}

func main() {
	if len(os.Args) == 2 {
		for _, b := range bounds {
			if b.name == os.Args[1] {
				exit(b.name, b.inside())
			}
		}
		exit(os.Args[1], fmt.Errorf("no such case"))
	}
	var failed error
	for _, b := range bounds {
		err := b.before()
		if err == nil {
			err = inProcess(b.name)
		}
		if undone := b.after(); err == nil {
			err = undone
		}
		if err != nil {
			fmt.Printf("bounds: %s: FAILED: %v\n", b.name, err)
			failed = err
		}
	}
	exit("all", failed)
}

func exit(name string, err error) {
	if err != nil {
		fmt.Printf("bounds: %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// inProcess runs a case in a process of its own, with a namespace for its mounts.
func inProcess(name string) error {
	command := exec.Command("/proc/self/exe", name)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return command.Run()
}

// prepare lets the runtime have what it needs before memory is short: when it finds
// none it gives up.
func prepare() {
	debug.SetGCPercent(-1)
	vcpu.Probe()
	stress.SpareThreads(12)
	clear(make([]byte, 16<<20))
	runtime.GC() // what was cleared is there for the next objects
}
