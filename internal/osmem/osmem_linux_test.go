//go:build !vcpualloc_gomem

package osmem

import "testing"

func TestMostAtOnce(t *testing.T) {
	const all = ^uintptr(0)
	for kernel, want := range map[string]uintptr{
		"6.18.15+deb13-cloud-amd64": all,
		"6.19.14+deb13-cloud-amd64": 1 << 20,
		"7.0.13":                    1 << 20,
		"7.2.0-rc1":                 1 << 20,
		"7.3.4":                     all,
		"5.10.0-32-cloud-amd64":     all,
		"16.19.0":                   all,
		"":                          all,
	} {
		if got := mostAtOnce(kernel, 4096); got != want {
			t.Errorf("kernel %q: %d bytes at once, want %d", kernel, got, want)
		}
	}
	if got := mostAtOnce("7.0.13", 16384); got != 16<<20 {
		t.Errorf("with OS pages of 16 KiB: %d bytes at once, want half of the 32 MiB of a page table", got)
	}
}

// TestReleaseInPieces releases what takes several calls, the last one for less.
func TestReleaseInPieces(t *testing.T) {
	r := reserve(t, 4*Granule)
	if err := r.Back(r.Size); err != nil {
		t.Fatal(err)
	}
	for i := range r.Bytes(0, r.Size) {
		r.Bytes(0, r.Size)[i] = 1
	}
	first, end := PageSize(), r.Size-PageSize()
	if err := r.release(first, end, Granule); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Resident(r.Size); err != nil || got != 2*int64(PageSize()) {
		t.Errorf("%d bytes are resident, %v; want the first and the last OS page", got, err)
	}
	for i, value := range r.Bytes(0, r.Size) {
		if want := uintptr(i) < first || uintptr(i) >= end; (value == 1) != want {
			t.Fatalf("byte %d is %d", i, value)
		}
	}
}
