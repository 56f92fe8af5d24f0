package osmem

import (
	"bytes"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestZero zeroes parts of a range of which some OS pages were written to: exactly those
// bytes are zero afterwards.
func TestZero(t *testing.T) {
	const size = 4 << 20
	random := steady.Random(t)
	r, err := Reserve(size, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Unmap()
	if err := r.Back(size); err != nil {
		t.Fatal(err)
	}
	page := int(PageSize())
	for range 20 {
		if _, _, err := r.Release(0, size); err != nil {
			t.Fatal(err)
		}
		if !ReleaseZeroes {
			clear(r.Bytes(0, size))
		}
		want := make([]byte, size)
		for range random.IntN(600) {
			at := random.IntN(size/page) * page
			r.Bytes(uintptr(at), uintptr(page))[7], want[at+7] = 1, 1
		}
		from := random.IntN(size)
		end := from + random.IntN(size-from+1)
		if random.IntN(4) == 0 {
			from, end = 0, size
		}
		r.Zero(uintptr(from), uintptr(end-from))
		clear(want[from:end])
		if !bytes.Equal(r.Bytes(0, size), want) {
			t.Fatalf("bytes from %d up to %d were zeroed: the range is not as it should be", from, end)
		}
	}
}
