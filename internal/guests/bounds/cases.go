//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

const (
	blockSize = 48 << 10
	most      = 1 << 16 // blocks, for want of a bound
)

// fillUp allocates blocks until an error, and marks each.
func fillUp(a *alloc.Allocator, size int) (blocks [][]byte, err error) {
	blocks = make([][]byte, 0, most)
	for len(blocks) < most {
		b, err := a.AllocUninit(size)
		if err != nil {
			return blocks, err
		}
		for at := 0; at < len(b); at += 4096 {
			b[at] = byte(len(blocks))
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// emptyAgain checks and frees the blocks.
func emptyAgain(a *alloc.Allocator, blocks [][]byte) error {
	for i, b := range blocks {
		for at := 0; at < len(b); at += 4096 {
			if b[at] != byte(i) {
				return fmt.Errorf("block %d is spoiled at %d", i, at)
			}
		}
		a.Free(b)
	}
	if _, err := a.Trim(context.Background()); err != nil {
		return err
	}
	if s := a.Stats(); s.Live != 0 || s.Charged != 0 {
		return fmt.Errorf("all is freed, but %d bytes are live and %d charged", s.Live, s.Charged)
	}
	return nil
}

// promise sets vm.overcommit_memory. With 2 the kernel promises no more than a share
// of the memory.
func promise(mode string) error {
	return os.WriteFile("/proc/sys/vm/overcommit_memory", []byte(mode), 0)
}

// withoutPromises fills memory until the kernel promises no more: an error that says
// so, and everything goes on.
func withoutPromises() error {
	// Large, so that a part of one is left for the runtime, which ends the process when it
	// gets nothing; more comes free when the first one is refused.
	const large, ballast = 8 << 20, 16 << 20
	runtime.MemProfileRate = 0
	prepare()
	rest, err := unix.Mmap(-1, 0, ballast, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	a, err := alloc.New(alloc.Options{ReleaseDelay: -1})
	if err != nil {
		return err
	}
	blocks, err := fillUp(a, large)
	if unmapError := unix.Munmap(rest); unmapError != nil {
		return unmapError
	}
	if !errors.Is(err, alloc.ErrNoMemory) || !strings.Contains(err.Error(), "vm.overcommit_memory is 2") {
		return fmt.Errorf("after %d blocks: %v", len(blocks), err)
	}
	fmt.Printf("bounds: overcommit: %d MiB reserved, %d MiB got: %v\n", a.Stats().Reserved>>20, len(blocks)*large>>20, err)
	if len(blocks) < 10 {
		return fmt.Errorf("only %d blocks of %d bytes", len(blocks), large)
	}
	if err := emptyAgain(a, blocks); err != nil {
		return err
	}
	b, err := a.Alloc(len(blocks) * large / 2)
	if err != nil {
		return fmt.Errorf("half of it again: %w", err)
	}
	a.Free(b)
	return a.Close()
}

// Two groups, one in the other: the outer one has the bound.
const (
	cgroups   = "/sys/fs/cgroup"
	outer     = cgroups + "/bounds"
	inner     = outer + "/inner"
	groupSize = 96 << 20
	groupMax  = "100663296"
	groupHigh = groupMax
	less      = 80 << 20
	more      = 112 << 20
)

func set(directory, file, value string) error {
	return os.WriteFile(filepath.Join(directory, file), []byte(value), 0)
}

func makeGroups(bound, high string) error {
	if err := set(cgroups, "cgroup.subtree_control", "+memory"); err != nil {
		return err
	}
	if err := os.MkdirAll(inner, 0o755); err != nil {
		return err
	}
	return errors.Join(set(outer, "cgroup.subtree_control", "+memory"), set(outer, "memory.max", bound), set(outer, "memory.high", high))
}

// removeGroups waits for the dead to leave.
func removeGroups() (err error) {
	for range 50 {
		if err = errors.Join(os.Remove(inner), os.Remove(outer)); err == nil {
			return nil
		}
		if _, gone := os.Stat(outer); os.IsNotExist(gone) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// insideGroup keeps Go and an allocator within what a group allows, while both want
// more: it is not killed, and what does not fit is an ErrLimit.
func insideGroup() error {
	if err := set(inner, "cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	const limit = groupSize / 2
	a, err := alloc.New(alloc.Options{Limit: limit})
	if err != nil {
		return err
	}
	stop, err := alloc.BalanceMemoryLimit(0)
	if err != nil {
		return err
	}
	defer stop()
	blocks, err := fillUp(a, blockSize)
	if !errors.Is(err, alloc.ErrLimit) || len(blocks) < limit/blockSize*9/10 {
		return fmt.Errorf("%d blocks: %v", len(blocks), err)
	}
	var kept [16][]byte
	goLimit := func(total, garbage int) error {
		end := time.Now().Add(time.Minute)
		for i := 0; ; i++ {
			if i < garbage { // without a limit it takes twice what is kept, and more
				kept[i%len(kept)] = make([]byte, 1<<20)
				clear(kept[i%len(kept)])
			}
			now := debug.SetMemoryLimit(-1)
			if i >= garbage && now < int64(total-limit) && now > int64(total-limit-groupSize/8) {
				return nil
			}
			if time.Now().After(end) {
				return fmt.Errorf("Go's limit is %d with a group of %d and %d off the heap", now, total, limit)
			}
			time.Sleep(time.Millisecond)
		}
	}
	// First without garbage: what comes between two looks is on top.
	if err := errors.Join(goLimit(groupSize, 0), goLimit(groupSize, 100)); err != nil {
		return err
	}
	// Somebody changes the bound: memory.max upwards, since the kernel kills when less
	// than what is there is allowed.
	file, now := "memory.high", less
	if text, err := os.ReadFile(filepath.Join(outer, file)); err != nil || strings.TrimSpace(string(text)) == "max" {
		file, now = "memory.max", more
	}
	if err := errors.Join(set(outer, file, strconv.Itoa(now)), goLimit(now, 0), goLimit(now, 100)); err != nil {
		return err
	}
	events, err := quiet("oom ", "oom_kill ")
	if err != nil {
		return err
	}
	current, _ := os.ReadFile(filepath.Join(outer, "memory.current"))
	fmt.Printf("bounds: %s: Go's limit is %d, the group has %s, events %q\n", os.Args[1], debug.SetMemoryLimit(-1), bytes.TrimSpace(current), events)
	return errors.Join(emptyAgain(a, blocks), a.Close())
}

// quiet reports events of the group that must not have happened.
func quiet(never ...string) (events []byte, err error) {
	events, err = os.ReadFile(filepath.Join(outer, "memory.events"))
	if err != nil {
		return nil, err
	}
	lines := "\n" + string(events)
	for _, name := range never {
		if strings.Contains(lines, "\n"+name) && !strings.Contains(lines, "\n"+name+"0\n") {
			return nil, fmt.Errorf("memory.events: %q", events)
		}
	}
	return events, nil
}

// withoutProc takes /proc and /sys away before anything has looked there.
func withoutProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, target := range []string{"/proc", "/sys"} {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		return errors.New("/proc is still there")
	}
	f := vcpu.Probe()
	fmt.Printf("bounds: no-proc: mode %v (%s), %d ids at most\n", f.Mode, f.Reason, vcpu.Max())
	if want := os.Getenv("VCPUALLOC_EXPECT_MODE"); want != "" && f.Mode.String() != want {
		return fmt.Errorf("mode %v, with /proc it is %s", f.Mode, want)
	}
	if _, err := alloc.BalanceMemoryLimit(0); err == nil || !strings.Contains(err.Error(), "/proc/self/cgroup") {
		return fmt.Errorf("BalanceMemoryLimit: %v", err)
	} else {
		fmt.Println("bounds: no-proc:", err)
	}
	a, err := alloc.New(alloc.Options{Limit: 16 << 20})
	if err != nil {
		return err
	}
	blocks, err := fillUp(a, blockSize)
	if !errors.Is(err, alloc.ErrLimit) {
		return err
	}
	return errors.Join(emptyAgain(a, blocks), a.Close())
}
