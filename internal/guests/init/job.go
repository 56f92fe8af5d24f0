//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// stackGrace is how long a job that is out of time may print its stacks.
const stackGrace = 10 * time.Second

var environment = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", "GOTRACEBACK=all"}

// runJob runs one job on the console and waits for its end.
func runJob(job plan.Job) plan.JobResult {
	result := plan.JobResult{Name: job.Name, Status: -1}
	command := exec.Command(job.Path, job.Args...)
	command.Dir = job.Dir
	command.Env = append(append([]string{}, environment...), job.Env...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// A group of its own, so that what a job leaves behind is killed with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	began := time.Now()
	if err := command.Start(); err != nil {
		result.Error = err.Error()
		return result
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	err, late := waitOrKill(command.Process.Pid, ended, time.Duration(job.Seconds)*time.Second)
	_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	result.Seconds = time.Since(began).Seconds()
	result.Status = command.ProcessState.ExitCode()
	switch {
	case late:
		result.Status = -1
		result.Error = fmt.Sprintf("not done after %d s; its stacks are in the log", job.Seconds)
	case err != nil:
		result.Error = err.Error()
	}
	return result
}

// waitOrKill waits for the end of a job. After the limit it prints what the job
// is doing, sends SIGQUIT, which makes a Go program print all stacks, and then
// SIGKILL.
func waitOrKill(pid int, ended <-chan error, limit time.Duration) (err error, late bool) {
	select {
	case err = <-ended:
		return err, false
	case <-time.After(limit):
	}
	printEvidence(pid)
	_ = syscall.Kill(pid, syscall.SIGQUIT)
	select {
	case err = <-ended:
		return err, true
	case <-time.After(stackGrace):
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	return <-ended, true
}
