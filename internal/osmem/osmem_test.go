package osmem

import (
	"bytes"
	"testing"
	"unsafe"
)

// reserve returns a range that the test gives back.
func reserve(t *testing.T, size uintptr) *Range {
	t.Helper()
	r, err := Reserve(size, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Unmap(); err != nil {
			t.Error(err)
		}
	})
	return &r
}

func fill(memory []byte, value byte) {
	for i := range memory {
		memory[i] = value
	}
}

func TestReserve(t *testing.T) {
	for _, size := range []uintptr{Granule, Align, 7 * Granule, 100 << 20} {
		r := reserve(t, size)
		if r.Size != size || r.Backed != 0 || uintptr(r.Base)%Align != 0 {
			t.Errorf("%d bytes: %+v", size, *r)
		}
		first, last := uintptr(r.Base)-uintptr(r.mapping), uintptr(r.Base)+size-uintptr(r.mapping)
		if first > Align || CanRelease && r.mappingSize != size || last > r.mappingSize {
			t.Errorf("%d bytes: [%d, %d) of a mapping of %d", size, first, last, r.mappingSize)
		}
	}
}

func TestReserveTooMuch(t *testing.T) {
	if r, err := Reserve(^uintptr(2*Align-1), "test"); err == nil || r != (Range{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBack writes to all that is backed, and finds it zero before and intact
// when more is.
func TestBack(t *testing.T) {
	const size = 10 * Granule
	r := reserve(t, size)
	backed := uintptr(0)
	for _, more := range []uintptr{0, 1, Granule, Granule + 1, 3 * Granule, 5*Granule - 1, size, size + 1, 2} {
		if err := r.Back(more); err != nil {
			t.Fatal(err)
		}
		want := max(backed, min((more+Granule-1)/Granule*Granule, size))
		if r.Backed != want {
			t.Fatalf("%d bytes: %d are backed, want %d", more, r.Backed, want)
		}
		if !bytes.Equal(r.Bytes(0, backed), bytes.Repeat([]byte{7}, int(backed))) {
			t.Fatalf("%d bytes: the first %d have changed", more, backed)
		}
		if fresh := r.Bytes(backed, want-backed); !bytes.Equal(fresh, make([]byte, len(fresh))) {
			t.Fatalf("%d bytes: those from %d on are not zero", more, backed)
		}
		fill(r.Bytes(backed, want-backed), 7)
		backed = want
	}
}

// TestRelease releases parts, which may not touch what lies around them, and
// tells whether all of a part is zero.
func TestRelease(t *testing.T) {
	const size = 8 * Granule
	r := reserve(t, size)
	if err := r.Back(size); err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct{ offset, size uintptr }{
		{0, size}, {Granule, Granule}, {0, Granule}, {7 * Granule, Granule},
		{1, Granule}, {Granule, Granule + 1}, {Granule - 1, 2}, {5, 7}, {2*Granule + 100, 3 * Granule},
	} {
		memory := r.Bytes(0, size)
		fill(memory, 9)
		returned, zeroed, err := r.Release(part.offset, part.size)
		if err != nil {
			t.Fatal(err)
		}
		if whole := part.offset%Granule == 0 && part.size%Granule == 0; returned > part.size || whole && returned != part.size || zeroed && returned != part.size {
			t.Errorf("%+v: %d bytes returned, zeroed: %t", part, returned, zeroed)
		}
		released := r.Bytes(part.offset, part.size)
		if isZero := bytes.Equal(released, make([]byte, part.size)); zeroed && !isZero {
			t.Errorf("%+v: said to be zero, but is not", part)
		}
		if whole := part.offset%Granule == 0 && part.size%Granule == 0; whole && ReleaseZeroes && !zeroed {
			t.Errorf("%+v: not said to be zero", part)
		}
		fill(released, 9)
		if !bytes.Equal(memory, bytes.Repeat([]byte{9}, size)) {
			t.Errorf("%+v: other bytes have changed", part)
		}
	}
}

func TestUnmap(t *testing.T) {
	r, err := Reserve(Granule, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Back(Granule); err != nil {
		t.Fatal(err)
	}
	*(*byte)(r.Base) = 1
	for range 2 {
		if err := r.Unmap(); err != nil {
			t.Fatal(err)
		}
		if r != (Range{}) {
			t.Fatalf("%+v is left", r)
		}
	}
}

// TestBytes checks that a part begins where it should.
func TestBytes(t *testing.T) {
	r := reserve(t, 2*Granule)
	part := r.Bytes(100, 50)
	if len(part) != 50 || cap(part) != 50 || unsafe.Pointer(unsafe.SliceData(part)) != unsafe.Add(r.Base, 100) {
		t.Errorf("%d bytes at %p of a range at %p", len(part), unsafe.SliceData(part), r.Base)
	}
}
