//go:build !linux

package alloc

// machineMemory returns 0: not known.
func machineMemory() int64 { return 0 }

// addressSpace returns 0: no bound that is known.
func addressSpace() int64 { return 0 }

// dataSpace returns 0: no bound that is known.
func dataSpace() int64 { return 0 }
