//go:build !linux

package rseqcs

import "testing"

// pinToOneCPU does nothing: a thread cannot be pinned here.
func pinToOneCPU(*testing.T) (restore func()) { return func() {} }
