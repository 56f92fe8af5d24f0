//go:build !linux

package arena

import "time"

// threadTime returns the time: how much of it is the thread's is only asked on Linux.
func threadTime() time.Duration { return time.Since(epoch) }
