//go:build linux && (amd64 || arm64) && vcpualloc_stalled

package main

// stalled tells that a run without an abort has shown nothing.
const stalled = true
