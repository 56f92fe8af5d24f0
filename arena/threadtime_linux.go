package arena

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns the CPU time of the running thread, on which the caller must stay,
// or all time where the system does not tell.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return time.Since(epoch)
	}
	return time.Duration(t.Nano())
}
