//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// printEvidence prints what a job that is out of time is doing: a line for each
// thread, and the registers of each CPU. It comes before SIGQUIT, since a process
// that is stuck in the kernel, or that the kernel never gets round to, does not
// answer to it.
func printEvidence(pid int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		fmt.Printf("init: thread %s: %s; system call and program counter: %s\n", filepath.Base(task),
			fields(task+"/status", "State:", "SigPnd:", "ShdPnd:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"), line(task+"/syscall"))
	}
	fmt.Println("init: CPU time so far:", line(fmt.Sprintf("/proc/%d/schedstat", pid)), "machine:", line("/proc/stat"))
	const registersOfAllCPUs = "l"
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("8"), 0)
	_ = os.WriteFile("/proc/sysrq-trigger", []byte(registersOfAllCPUs), 0)
	time.Sleep(time.Second)
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("4"), 0)
}

// line returns the first line of a file.
func line(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

// fields returns the lines of a file that begin with one of the names.
func fields(name string, names ...string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	var found []string
	for _, one := range strings.Split(string(text), "\n") {
		for _, wanted := range names {
			if strings.HasPrefix(one, wanted) {
				found = append(found, strings.Join(strings.Fields(one), " "))
			}
		}
	}
	return strings.Join(found, ", ")
}
