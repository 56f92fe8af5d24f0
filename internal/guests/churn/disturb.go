//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// disturbance moves the ground under the players, again and again.
type disturbance struct {
	name  string
	act   func(g *game) error
	times int // that it was done
}

// notNow is the answer to what can fail because of another disturbance.
var notNow = errors.New("not now")

func (d *disturbance) run(g *game) {
	for g.running() {
		switch err := d.act(g); {
		case err == nil:
			if d.times++; d.times == 1 {
				g.awaited.Add(-1)
			}
		case !errors.Is(err, notNow):
			g.fail("%s: %v", d.name, err)
			return
		}
	}
	if d.times == 0 {
		g.fail("%s never happened", d.name)
	}
}

// flipAffinity confines a thread of this process to one CPU, and lets it go.
func flipAffinity(*game) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	thread, err := strconv.Atoi(tasks[rand.IntN(len(tasks))].Name())
	if err != nil {
		return err
	}
	var all, one unix.CPUSet
	for cpu := range runtime.NumCPU() {
		all.Set(cpu)
	}
	one.Set(rand.IntN(runtime.NumCPU()))
	// The thread may be gone, or the CPU offline or outside of the cpuset.
	confined := unix.SchedSetaffinity(thread, &one)
	time.Sleep(2 * time.Millisecond)
	if err := unix.SchedSetaffinity(thread, &all); err != nil && err != unix.ESRCH && err != unix.EINVAL {
		return err
	}
	if confined != nil {
		return notNow
	}
	return nil
}

// bearThreads lets 64 threads be born within a second; each plays and dies.
func bearThreads(g *game, players int) error {
	const perSecond = 64
	var born sync.WaitGroup
	for number := range perSecond {
		born.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its goroutine
			g.visit(int32(players + 1 + number))
		})
		time.Sleep(time.Second / perSecond)
	}
	born.Wait()
	return nil
}

// stayOn starts this program anew on the first count CPUs alone: the kernel counts
// the CPUs that an address space may use from its beginning, and never takes one off.
func stayOn(count int) error {
	if count == 0 || count == runtime.NumCPU() {
		return nil
	}
	if count > runtime.NumCPU() {
		return fmt.Errorf("no %d CPUs to stay on: there are %d", count, runtime.NumCPU())
	}
	var few unix.CPUSet
	for cpu := range count {
		few.Set(cpu)
	}
	runtime.LockOSThread() // the thread that is confined is the one that becomes the program
	if err := unix.SchedSetaffinity(0, &few); err != nil {
		return fmt.Errorf("stay on %d CPUs: %w", count, err)
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

const cgroups = "/sys/fs/cgroup"

// squeeze confines the process to CPU 0 by a cpuset, and widens it again.
func squeeze(*game) error {
	own := filepath.Join(cgroups, "churn")
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		if err := write(filepath.Join(cgroups, "cgroup.subtree_control"), "+cpuset"); err != nil {
			return err
		}
		if err := write(filepath.Join(own, "cgroup.procs"), fmt.Sprint(os.Getpid())); err != nil {
			return err
		}
	}
	wide := fmt.Sprintf("0-%d", runtime.NumCPU()-1)
	for _, cpus := range []string{"0", wide} {
		if err := write(filepath.Join(own, "cpuset.cpus"), cpus); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// unplug takes the last CPU offline and back.
func unplug(*game) error {
	name := fmt.Sprintf("/sys/devices/system/cpu/cpu%d/online", runtime.NumCPU()-1)
	for _, state := range []string{"0", "1"} {
		if err := write(name, state); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

func write(name, text string) error { return os.WriteFile(name, []byte(text), 0o644) }
