//go:build vcpualloc_stalled

package rseqcs

// stalled tells that the sections have delays between their steps.
const stalled = true
