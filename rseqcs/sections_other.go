//go:build !linux || !(amd64 || arm64)

package rseqcs

import "github.com/vcpualloc/vcpualloc/vcpu"

var aborts uint64

// pinnedOperations returns the operations in Go.
func pinnedOperations() operations { return assigned }

// sectionOperations is never reached: every mode here is Assigned.
func sectionOperations(vcpu.Features) operations { return assigned }
