//go:build !vcpualloc_faults

package fault

// Before returns the error that the system call of this name is to fail with.
func Before(string) error { return nil }
