//go:build linux && (amd64 || arm64)

// Command init is process 1 of a guest: it prepares the machine, runs the jobs
// of the plan one after another, prints the result, and ends the emulator.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// debugExitGrace is far above the moment that the emulator needs to end.
const debugExitGrace = 20 * time.Second

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is process 1 of a test guest and ends the machine; it does not run elsewhere")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Println("init:", err)
	}
	drain(os.Stdout)
	endMachine()
	// The emulator takes the debug exit as a request and lets the guest go on for
	// a moment, in which nothing may follow the result. A machine without one is
	// powered off, and the runner misses the status.
	time.Sleep(debugExitGrace)
	fmt.Println("init: the debug exit did not end the machine")
	drain(os.Stdout)
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	if err := mountAll(); err != nil {
		return err
	}
	text, err := os.ReadFile(plan.Path)
	if err != nil {
		return err
	}
	var work plan.Plan
	if err := json.Unmarshal(text, &work); err != nil {
		return fmt.Errorf("%s: %w", plan.Path, err)
	}
	result := machine()
	for _, job := range work.Jobs {
		fmt.Printf("\n=== %s\n", job.Name)
		outcome := runJob(job)
		result.Jobs = append(result.Jobs, outcome)
		say(plan.JobPrefix, outcome)
	}
	silenceKernel()
	say(plan.ResultPrefix, result)
	return nil
}

// say prints one line for the runner. It starts on a line of its own whatever a
// job or the kernel left on the console.
func say(prefix string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fmt.Println("init:", err)
		return
	}
	os.Stdout.WriteString("\n" + prefix + string(text) + "\n")
}

// drain waits until the serial port has sent everything: the debug exit drops
// what is still in the kernel's buffer. The runtime's own signals interrupt the
// wait.
func drain(console *os.File) {
	const wait = 1 // argument of TCSBRK that makes it tcdrain(3)
	for {
		err := unix.IoctlSetInt(int(console.Fd()), unix.TCSBRK, wait)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			fmt.Println("init: drain console:", err)
		}
		return
	}
}
