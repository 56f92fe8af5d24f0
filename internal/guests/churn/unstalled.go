//go:build linux && (amd64 || arm64) && !vcpualloc_stalled

package main

const stalled = false
