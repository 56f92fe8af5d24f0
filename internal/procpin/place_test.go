//go:build amd64 || arm64

package procpin

import (
	"runtime/debug"
	"testing"
)

func TestIsPSurvivesAnyAddress(t *testing.T) {
	m, addresses := thisM(), []uintptr{0, 8, 1 << 20, 1 << 46, 1<<47 - 8, ^uintptr(7)}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, address := range addresses {
		if isP(address, 0, m) {
			t.Errorf("a P at %#x", address)
		}
	}
}
