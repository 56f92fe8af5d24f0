//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// mounts are made in this order. A kernel may lack an optional one.
var mounts = []struct {
	kind, target string
	optional     bool
}{
	{"proc", "/proc", false},
	{"sysfs", "/sys", false},
	{"devtmpfs", "/dev", false},
	{"tmpfs", "/tmp", false},
	{"tmpfs", "/dev/shm", false},
	{"cgroup2", "/sys/fs/cgroup", true},
	{"tracefs", "/sys/kernel/tracing", true},
}

func mountAll() error {
	for _, m := range mounts {
		// Missing only on pseudo file systems, where the kernel makes them.
		_ = os.MkdirAll(m.target, 0o755)
		err := unix.Mount(m.kind, m.target, m.kind, 0, "")
		if err != nil && !m.optional {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

// silenceKernel keeps kernel messages from being mixed into the result line.
func silenceKernel() {
	if err := os.WriteFile("/proc/sys/kernel/printk", []byte("1"), 0); err != nil {
		fmt.Println("init: lower the console's log level:", err)
	}
}

func machine() plan.Result {
	result := plan.Result{PageSize: os.Getpagesize()}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		result.Kernel = unix.ByteSliceToString(name.Release[:])
		result.Machine = unix.ByteSliceToString(name.Machine[:])
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err == nil {
		result.CPUs = cpus.Count()
	}
	nodes, _ := filepath.Glob("/sys/devices/system/node/node[0-9]*")
	result.Nodes = len(nodes)
	return result
}
