package vcpu

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// possibleCPUs returns the number of CPU ids that can ever exist: the highest
// one plus one.
func possibleCPUs() int {
	if list, err := os.ReadFile("/sys/devices/system/cpu/possible"); err == nil {
		if count, ok := parseCPUList(string(list)); ok {
			return count
		}
	}
	// Without /sys: the kernel copies as many bytes of an affinity mask as its
	// own masks have, which covers every possible id.
	var mask unix.CPUSet
	size, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if errno == 0 && size > 0 {
		return int(size) * 8
	}
	return max(runtime.NumCPU(), 1024)
}

// parseCPUList returns the highest id of a list such as "0-3,8-11" plus one.
func parseCPUList(list string) (count int, ok bool) {
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		_, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = part
		}
		id, err := strconv.Atoi(last)
		if err != nil || id < 0 {
			return 0, false
		}
		count = max(count, id+1)
	}
	return count, count > 0
}

// systemNode asks the kernel for the node of the running thread.
func systemNode() int {
	_, node := systemPlace()
	return node
}

// systemPlace asks the kernel for CPU and node of the running thread.
func systemPlace() (cpu, node int) {
	var numbers [2]uint32
	_, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&numbers[0])), uintptr(unsafe.Pointer(&numbers[1])), 0)
	if errno != 0 {
		return -1, -1
	}
	return int(numbers[0]), int(numbers[1])
}
