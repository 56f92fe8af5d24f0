//go:build !vcpualloc_gomem

package osmem

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestZeroTouchesNothingNew: OS pages that take no memory take none afterwards, and those
// that do stay.
func TestZeroTouchesNothingNew(t *testing.T) {
	const size, every = 8 << 20, 5
	r, err := Reserve(size, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Unmap()
	if err := r.Back(size); err != nil {
		t.Fatal(err)
	}
	r.NoHugePages()
	page := PageSize()
	written := int64(0)
	for at := uintptr(0); at < size; at += every * page {
		r.Bytes(at, 1)[0] = 1
		written += int64(page)
	}
	r.Zero(1, size-1)
	if resident, err := r.Resident(size); err != nil || resident != written {
		t.Errorf("%d bytes are resident, want %d; %v", resident, written, err)
	}
	if got := r.Bytes(0, every*page+1); got[0] != 1 || got[every*page] != 0 {
		t.Errorf("the bytes at 0 and %d are %d and %d, want 1 and 0", every*page, got[0], got[every*page])
	}
}

// TestZeroLocked zeroes memory that is locked as soon as it is touched, which the system
// does not take back.
func TestZeroLocked(t *testing.T) {
	const size = 2 << 20
	r, err := Reserve(size, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Unmap()
	if err := r.Back(size); err != nil {
		t.Fatal(err)
	}
	r.Bytes(0, size)[size/2] = 1
	const onFault = 1 // MLOCK_ONFAULT, mlock2(2)
	if _, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(r.Base), size, onFault); errno != 0 {
		t.Skipf("no memory can be locked here: %v", errno)
	}
	r.Zero(0, size)
	for at, b := range r.Bytes(0, size) {
		if b != 0 {
			t.Fatalf("byte %d is %d", at, b)
		}
	}
}
