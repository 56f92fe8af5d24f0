package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// onCPUs calls start with the thread kept to the first count of the CPUs that it
// may run on, which a process that start begins inherits. So a native child of
// many threads has as many CPUs as a Go child with that GOMAXPROCS.
func onCPUs(count int, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, some unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("cannot ask for the CPUs of this process: %w", err)
	}
	if count >= all.Count() {
		return start()
	}
	for cpu := 0; some.Count() < count; cpu++ {
		if all.IsSet(cpu) {
			some.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &some); err != nil {
		return fmt.Errorf("cannot keep a child to %d CPUs: %w", count, err)
	}
	err := start()
	if restored := unix.SchedSetaffinity(0, &all); restored != nil && err == nil {
		err = fmt.Errorf("cannot go back to all CPUs: %w", restored)
	}
	return err
}
