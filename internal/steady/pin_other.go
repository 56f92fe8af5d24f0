//go:build !linux

package steady

import "testing"

// pinToOneCPU does nothing: a thread cannot be pinned here.
func pinToOneCPU(testing.TB) (restore func()) { return func() {} }
