//go:build unix

package workload

import "syscall"

// cpuNanoseconds is the CPU time that all threads of this process have used.
func cpuNanoseconds() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
