//go:build unix && !vcpualloc_gomem && !aix && !solaris && !illumos

package osmem

import (
	"runtime/debug"
	"testing"
)

// TestBackedEnds touches the first byte that is not backed: a fault.
func TestBackedEnds(t *testing.T) {
	r := reserve(t, 4*Granule)
	if err := r.Back(Granule + 1); err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	fault := func(offset uintptr) (err interface{ Addr() uintptr }) {
		defer func() { err, _ = recover().(interface{ Addr() uintptr }) }()
		r.Bytes(offset, 1)[0] = 1
		return nil
	}
	if err := fault(r.Backed - 1); err != nil {
		t.Errorf("the last byte that is backed: %v", err)
	}
	if err := fault(r.Backed); err == nil || err.Addr() != uintptr(r.Base)+r.Backed {
		t.Errorf("the first byte that is not backed: %v", err)
	}
}
