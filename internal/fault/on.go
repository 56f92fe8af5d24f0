//go:build vcpualloc_faults

package fault

import "sync/atomic"

var decide atomic.Pointer[func(call string) error]

// Before returns the error that the system call of this name is to fail with.
func Before(call string) error {
	if f := decide.Load(); f != nil {
		return (*f)(call)
	}
	return nil
}

// Set makes f decide from now on; nil lets all calls through. Several threads may
// call f at once.
func Set(f func(call string) error) {
	if f == nil {
		decide.Store(nil)
		return
	}
	decide.Store(&f)
}
