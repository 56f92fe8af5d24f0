// Package fault lets tests make system calls fail. With the build tag
// vcpualloc_faults each place that asks the system for memory or for a fence asks
// Before first; without it, Before is nothing.
package fault
