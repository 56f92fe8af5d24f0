package alloc

import "golang.org/x/sys/unix"

// machineMemory returns the size of main memory in bytes, or 0.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit))
}

// addressSpace returns how much address space the process may have in bytes, or
// 0 for no bound (RLIMIT_AS).
func addressSpace() int64 { return bound(unix.RLIMIT_AS) }

// dataSpace returns how much private memory the process may have backed in bytes,
// or 0 for no bound (RLIMIT_DATA).
func dataSpace() int64 { return bound(unix.RLIMIT_DATA) }

func bound(resource int) int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(resource, &limit) != nil || limit.Cur > 1<<62 {
		return 0
	}
	return int64(limit.Cur)
}
