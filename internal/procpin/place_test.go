//go:build amd64 || arm64

package procpin

import (
	"runtime/debug"
	"testing"
)

func TestIsPSurvivesAnyAddress(t *testing.T) {
	m, addresses := uintptr(1<<20), []uintptr{0, 8, 1 << 20, 1 << 46, 1<<47 - 8, ^uintptr(7)}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, address := range addresses {
		if isP(address, 0, m) {
			t.Errorf("a P at %#x", address)
		}
	}
}

// TestMOfSurvivesAnyAddress reads where there is no g, and where its m is not.
func TestMOfSurvivesAnyAddress(t *testing.T) {
	onOtherThread(func() bool {
		if m, ok := MOf(thisG()); !ok || m == 0 {
			t.Errorf("M %#x of the running goroutine: %v", m, ok)
		}
		for offset := -OffsetOfM; offset < 128; offset += 8 { // g.lockedm comes later
			if offset == 0 {
				continue
			}
			if m, ok := MOf(uintptr(int(thisG()) + offset)); ok {
				t.Errorf("an M at %#x, %d bytes beside the place", m, offset)
			}
		}
		return true
	})
	for _, address := range []uintptr{0, 8, 1 << 20, 1 << 46, 1<<47 - 8, 1 << 63, ^uintptr(7)} {
		if m, ok := MOf(address - OffsetOfM); ok {
			t.Errorf("an M at %#x, by the word at %#x", m, address)
		}
	}
}
