//go:build !linux

package alloc

// machineMemory returns 0: not known.
func machineMemory() int64 { return 0 }
