//go:build linux && !vcpualloc_gomem

package arena

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

func residentOf(t *testing.T, memory *osmem.Range, size uintptr) int64 {
	t.Helper()
	resident, err := memory.Resident(size)
	if err != nil {
		t.Fatal(err)
	}
	return resident
}

// TestPageHeapResident compares what the page heap counts with what the kernel
// does, and that with the limit.
func TestPageHeapResident(t *testing.T) {
	// Huge pages take more than was touched.
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0)
	const pages, limit = 2048, 300
	random := steady.Random(t)
	h := newPageHeap(t, pages, limit)
	var runs []uint32
	for step := range 2500 {
		if length := 1 + random.Uint32N(60); h.used+int64(length) <= limit && random.IntN(2) == 0 {
			first, _, err := h.alloc(length, 1<<random.IntN(4))
			if err != nil {
				t.Fatal(err)
			}
			for page := range length {
				h.bytesOf(first+page, 1)[random.IntN(PageSize)] = 1
			}
			runs = append(runs, first)
		} else if len(runs) > 0 {
			i := random.IntN(len(runs))
			h.release(runs[i], h.spans.at(runs[i]).pages, true)
			runs[i] = runs[len(runs)-1]
			runs = runs[:len(runs)-1]
		}
		counted := (h.used + h.resident) << pageShift
		if real := residentOf(t, &h.memory, uintptr(h.top)<<pageShift); real > counted || counted > limit<<pageShift {
			t.Fatalf("step %d: %d bytes take memory, %d are counted, the limit is %d", step, real, counted, limit<<pageShift)
		}
	}
}
