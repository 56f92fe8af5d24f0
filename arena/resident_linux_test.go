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
// does, and that with the limit. It is the same where no OS page is larger than ours.
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
			memory := h.bytesOf(first, length)
			for piece := 0; piece < len(memory); piece += pieceSize {
				memory[piece+random.IntN(pieceSize)] = 1
			}
			runs = append(runs, first)
		} else if len(runs) > 0 {
			i := random.IntN(len(runs))
			h.release(runs[i], true)
			runs[i] = runs[len(runs)-1]
			runs = runs[:len(runs)-1]
		}
		counted := (h.used + h.resident) << pageShift
		real := residentOf(t, &h.memory, uintptr(h.top)<<pageShift)
		if real > counted || osPages() == 1 && real < counted || counted > limit<<pageShift {
			t.Fatalf("step %d: %d bytes take memory, %d are counted, the limit is %d", step, real, counted, limit<<pageShift)
		}
	}
}

// TestReturnsOfPartsResident uses some pages again and again that are free, between
// others that are bare: to return as many as nobody needs leaves them.
func TestReturnsOfPartsResident(t *testing.T) {
	const used, spare = 40, 8
	h := newPageHeap(t, 2048, noLimit)
	var runs [8]uint32
	for i := range runs {
		var err error
		if runs[i], _, err = h.alloc(used+spare, granulePages); err != nil {
			t.Fatal(err)
		}
	}
	for _, run := range runs {
		h.release(run, true)
	}
	h.trim(always)
	run, _, err := h.alloc(used+spare, granulePages)
	if err != nil {
		t.Fatal(err)
	}
	h.release(run, true)
	if h.resident != used+spare || h.spans.at(run).pages <= used+spare {
		t.Fatalf("%d pages of a run of %d are resident, want %d", h.resident, h.spans.at(run).pages, used+spare)
	}
	h.returnPages(spare, false)
	// OS pages may be as long as a granule.
	if least := int64(used - granulePages); h.resident < least || h.resident > used || h.released < spare {
		t.Errorf("%d pages are left, want %d", h.resident, used)
	}
	if osPages() == 1 && h.resident != used {
		t.Errorf("%d pages are left, want %d", h.resident, used)
	}
	mustHold(t, h.checkInvariants())
}
