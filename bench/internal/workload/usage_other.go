//go:build !unix

package workload

// cpuNanoseconds is not known here.
func cpuNanoseconds() int64 { return 0 }
