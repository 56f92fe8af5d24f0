//go:build !unix || vcpualloc_gomem || aix || solaris || illumos

package osmem

import (
	"runtime"
	"testing"
	"unsafe"
)

// releaseZeroes: memory of the Go heap is cleared.
const releaseZeroes = true

func TestReserveBound(t *testing.T) {
	if r, err := Reserve(maxGoReserve+1, "test"); err == nil {
		t.Errorf("%+v, no error", r)
	}
}

// TestReservationStays checks that the collector leaves a range alone which
// nothing but a number names.
func TestReservationStays(t *testing.T) {
	r := reserve(t, Granule)
	if err := r.Back(Granule); err != nil {
		t.Fatal(err)
	}
	fill(r.Bytes(0, Granule), 3)
	address := uintptr(r.Base)
	for range 3 {
		runtime.GC()
	}
	other := make([][]byte, 64)
	for i := range other {
		other[i] = make([]byte, Granule+Align)
		start := uintptr(unsafe.Pointer(unsafe.SliceData(other[i])))
		if start <= address && address < start+Granule+Align {
			t.Fatal("the memory was given to somebody else")
		}
	}
	runtime.KeepAlive(other)
}
