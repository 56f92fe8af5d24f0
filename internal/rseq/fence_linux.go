//go:build amd64 || arm64

package rseq

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
	"github.com/vcpualloc/vcpualloc/internal/seccomp"
)

// include/uapi/linux/membarrier.h, Linux 5.10.
const (
	membarrierQuery                        = 0
	membarrierPrivateExpeditedRseq         = 1 << 7
	membarrierRegisterPrivateExpeditedRseq = 1 << 8
)

// fenceError is why fences do not work, or nil. The registration is done once.
var fenceError = sync.OnceValue(func() error {
	if err := seccomp.Forbids(seccomp.Membarrier); err != nil {
		return fmt.Errorf("rseq: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierRegisterPrivateExpeditedRseq, 0, 0)
	if errno != 0 {
		return fmt.Errorf("rseq: membarrier(REGISTER_PRIVATE_EXPEDITED_RSEQ): %w", errno)
	}
	return nil
})

// HasFence reports whether the kernel says that it has fences. It registers
// nothing, which would take milliseconds in a process with many threads.
func HasFence() bool {
	if seccomp.Forbids(seccomp.Membarrier) != nil {
		return false
	}
	commands, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierQuery, 0, 0)
	return errno == 0 && commands&membarrierPrivateExpeditedRseq != 0
}

// FenceOnce makes the kernel abort every section that a thread of this process is
// inside of, on all CPUs. It is a barrier on each of them: what the caller stored
// before is visible to every section that starts later. On kernels without commit
// 6eb350a22331 a single call can miss a section, so callers use rseqcs.Fence.
func FenceOnce() error {
	if err := fenceError(); err != nil {
		return err
	}
	if err := fault.Before("membarrier"); err != nil {
		return fmt.Errorf("rseq: membarrier(PRIVATE_EXPEDITED_RSEQ): %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierPrivateExpeditedRseq, 0, 0)
	if errno != 0 {
		return fmt.Errorf("rseq: membarrier(PRIVATE_EXPEDITED_RSEQ): %w", errno)
	}
	return nil
}
