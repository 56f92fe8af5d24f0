//go:build !vcpualloc_gomem

package osmem

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
	"github.com/vcpualloc/vcpualloc/internal/seccomp"
)

const (
	noReserve = unix.MAP_NORESERVE

	// ReleaseZeroes tells whether memory reads as zero after Release: here private memory
	// does after MADV_DONTNEED, madvise(2).
	ReleaseZeroes = true
)

// releaseAtOnce is the most bytes that Release returns with one call.
var releaseAtOnce = sync.OnceValue(func() uintptr {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ^uintptr(0)
	}
	return mostAtOnce(unix.ByteSliceToString(name.Release[:]), PageSize())
})

// mostAtOnce knows a fault of Linux: since 6.14 (arm64: 7.0) MADV_DONTNEED of as much as
// a page table maps frees the table, and 6.19 and 7.0 then at times go on using it
// (docs/memory.md). With less the tables stay. 7.3 is right; 7.1 and 7.2 were not tried.
func mostAtOnce(kernel string, page uintptr) uintptr {
	var major, minor int
	if _, err := fmt.Sscanf(kernel, "%d.%d", &major, &minor); err != nil {
		return ^uintptr(0)
	}
	if spoils := major == 6 && minor == 19 || major == 7 && minor < 3; !spoils {
		return ^uintptr(0)
	}
	const entry = 8 // bytes in a page table
	return page / entry * page / 2
}

// dontNeed returns the memory behind whole OS pages to the system.
//
// MADV_DONTNEED refuses memory that mlock(2), mlock2(2) or mlockall(2) has locked, with
// EINVAL. MADV_DONTNEED_LOCKED takes it too and leaves the lock in place: an OS page that
// is touched again is locked again. It is tried second, since a kernel without it (before
// 5.18) refuses it with the same number for memory that is not locked.
func dontNeed(memory []byte) error {
	err := unix.Madvise(memory, unix.MADV_DONTNEED)
	if err == unix.EINVAL && releasesLocked() {
		err = unix.Madvise(memory, unix.MADV_DONTNEED_LOCKED)
	}
	return err
}

// releasesLocked reports whether the kernel has MADV_DONTNEED_LOCKED: of no bytes an advice
// fails only if it is not known.
var releasesLocked = sync.OnceValue(func() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, 0, 0, unix.MADV_DONTNEED_LOCKED)
	return errno == 0
})

// setName names a mapping for people who read /proc/self/maps. Kernels without
// CONFIG_ANON_VMA_NAME refuse, which changes nothing else.
func setName(base unsafe.Pointer, size uintptr, name string) {
	text, err := unix.BytePtrFromString("vcpualloc " + name)
	if err != nil {
		return
	}
	unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_VMA, unix.PR_SET_VMA_ANON_NAME,
		uintptr(base), size, uintptr(unsafe.Pointer(text)), 0)
}

// NoHugePages asks that touching one OS page of the range never takes memory for
// a whole huge page, as it can where transparent huge pages are set to "always".
// A kernel without huge pages refuses, and needs not be asked.
func (r *Range) NoHugePages() {
	unix.RawSyscall(unix.SYS_MADVISE, uintptr(r.mapping), r.mappingSize, unix.MADV_NOHUGEPAGE)
}

// HugePages asks that touching one OS page of the range takes a whole huge page.
func (r *Range) HugePages() error {
	return adviseHuge(r.mapping, r.mappingSize, unix.MADV_HUGEPAGE, "ask for huge pages")
}

// Collapse makes huge pages of aligned bytes at offset (Linux 6.1), and takes memory
// for those among them that have none. Of no bytes it tells whether the kernel can.
func (r *Range) Collapse(offset, size uintptr) error {
	return adviseHuge(unsafe.Add(r.Base, offset), size, unix.MADV_COLLAPSE, "collapse")
}

func adviseHuge(address unsafe.Pointer, size uintptr, advice int, action string) error {
	err := fault.Before("madvise")
	if err == nil {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(address), size, uintptr(advice))
		if errno == 0 {
			return nil
		}
		err = errno
	}
	return &CallError{Action: action, Call: "madvise", Size: size, Err: err}
}

// IsRefusal reports whether an error of Collapse is for good: the kernel does not
// have it, or was told to make no huge pages.
func IsRefusal(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) }

// ReadHuge returns what the kernel has of transparent huge pages.
func ReadHuge() (HugeInfo, error) {
	const folder = "/sys/kernel/mm/transparent_hugepage/"
	text, err := os.ReadFile(folder + "hpage_pmd_size")
	if err != nil {
		return HugeInfo{}, fmt.Errorf("osmem: the kernel has no transparent huge pages: %w", err)
	}
	size, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return HugeInfo{}, fmt.Errorf("osmem: the size of huge pages: %w", err)
	}
	enabled, err := os.ReadFile(folder + "enabled")
	if err != nil {
		return HugeInfo{}, fmt.Errorf("osmem: huge pages: %w", err)
	}
	return HugeInfo{uintptr(size), strings.Contains(string(enabled), "[always]")}, nil
}

// Of include/uapi/linux/mempolicy.h.
const (
	policyDefault    = 0
	policyPreferred  = 1
	policyInterleave = 3
	policyLocal      = 4
	policyFlags      = 7 << 13 // that a mode may carry
	maxNodes         = 1024    // more than any kernel is built for
)

// Bind says on which NUMA nodes the memory of the range is to be that is touched
// from now on. The system takes other nodes when these have none left.
func (r *Range) Bind(how Binding, nodes []int) error {
	var mask [maxNodes / 64]uint64
	for _, node := range nodes {
		if node < 0 || node >= maxNodes {
			return fmt.Errorf("osmem: there is no NUMA node %d", node)
		}
		mask[node/64] |= 1 << (node % 64)
	}
	mode := uintptr(policyPreferred)
	if how == Alternate {
		mode = policyInterleave
	}
	err := seccomp.Forbids(seccomp.Mbind)
	if err == nil {
		err = fault.Before("mbind")
	}
	if err == nil {
		// The kernel takes one bit less than it is told, mbind(2).
		_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(r.mapping), r.mappingSize, mode, uintptr(unsafe.Pointer(&mask)), maxNodes+1, 0)
		if errno == 0 {
			return nil
		}
		err = errno
	}
	return fmt.Errorf("osmem: bind to NUMA nodes %v: %w", nodes, err)
}

// FollowsPolicy reports whether the calling thread has a memory policy that is not
// the system's own, as under numactl(8): its wishes are not to be overruled.
func FollowsPolicy() bool {
	if seccomp.Forbids(seccomp.GetMempolicy) != nil {
		return false
	}
	var mode int32
	_, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), 0, 0, 0, 0, 0)
	mode &^= policyFlags
	return errno == 0 && mode != policyDefault && mode != policyLocal
}

// IsEager reports whether the first Granule of the range, which was backed and not
// touched yet, takes memory, as everything does after mlockall(2) with MCL_FUTURE.
func (r *Range) IsEager() bool {
	resident, err := r.Resident(Granule)
	return err == nil && resident > 0
}

// Resident asks the kernel how much of the first size bytes of the range takes
// memory, in bytes.
func (r *Range) Resident(size uintptr) (resident int64, err error) {
	const chunk = 1 << 30 // bytes in one call
	page := PageSize()
	there := make([]byte, min(size, chunk)/page+1)
	for offset := uintptr(0); offset < size; offset += chunk {
		length := min(size-offset, chunk)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(r.Base)+offset, length, uintptr(unsafe.Pointer(unsafe.SliceData(there))))
		if errno != 0 {
			return 0, fmt.Errorf("osmem: mincore: %w", errno)
		}
		for _, flags := range there[:(length+page-1)/page] {
			resident += int64(flags&1) * int64(page)
		}
	}
	return resident, nil
}
