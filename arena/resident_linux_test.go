//go:build linux && !vcpualloc_gomem

package arena

import (
	"testing"
	"unsafe"

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

// withoutHugePages keeps the process from having huge pages, which take more than was
// touched, until the test has ended.
func withoutHugePages(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0) })
}

// TestPageHeapResident compares what the page heap counts with what the kernel
// does, and that with the limit. It is the same where no OS page is larger than ours.
func TestPageHeapResident(t *testing.T) {
	withoutHugePages(t)
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
			h.release(runs[i])
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
		h.release(run)
	}
	h.trim(always)
	run, _, err := h.alloc(used+spare, granulePages)
	if err != nil {
		t.Fatal(err)
	}
	h.release(run)
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

// TestBitmapsComeBack uses many spans once and then few: of the bitmaps as many OS pages
// stay as these need, and Metadata is what the kernel says that the tables take.
func TestBitmapsComeBack(t *testing.T) {
	const objects, size = 1 << 16, 2048
	withoutHugePages(t)
	h := openHeap(t, 256<<20, 0)
	class := ClassOf(size)
	kept := func(i int) bool { return i/4096%4 == 1 } // 8 MiB of 32
	tables := func(when string) (bitmaps int64) {
		t.Helper()
		bitmaps = residentOf(t, &h.spans.bitmaps, h.spans.bitmaps.Backed)
		if counted := h.spans.touched.count.Load() * int64(osmem.PageSize()); bitmaps != counted {
			t.Errorf("%s: bitmaps take %d bytes, %d are counted", when, bitmaps, counted)
		}
		all := bitmaps + residentOf(t, &h.spans.records, h.spans.records.Backed) +
			residentOf(t, &h.spans.gone, h.spans.gone.Backed) +
			residentOf(t, &h.pageMapMemory, h.pageMapMemory.Backed)
		// The kernel counts whole OS pages.
		if counted := h.Metadata() - h.Magazines.Footprint(); max(counted-all, all-counted) > 8*int64(osmem.PageSize()) {
			t.Errorf("%s: the tables take %d bytes, %d are counted", when, all, counted)
		}
		mustHold(t, h.CheckInvariants())
		return bitmaps
	}
	blocks := make([]unsafe.Pointer, objects)
	for round := range 2 {
		for i := range blocks {
			if blocks[i] != nil {
				continue
			}
			var err error
			if blocks[i], err = h.Alloc(class); err != nil {
				t.Fatal(err)
			}
		}
		full := tables("all in use")
		if least := int64(objects * size / 64 / 2); full < least {
			t.Fatalf("round %d: the bitmaps of %d objects take %d bytes, less than %d", round, objects, full, least)
		}
		for i, block := range blocks {
			if !kept(i) {
				h.Free(class, block)
				blocks[i] = nil
			}
		}
		if _, err := h.Trim(always); err != nil {
			t.Fatal(err)
		}
		// At either end of what is kept an OS page of bits may be shared with free pages.
		few := tables("a quarter in use")
		if most := full/4 + int64(objects/4096)*int64(osmem.PageSize()); few > most {
			t.Errorf("round %d: %d bytes of bitmaps are left of %d, at most %d are needed", round, few, full, most)
		}
	}
	for i, block := range blocks {
		if kept(i) {
			h.Free(class, block)
		}
	}
	if _, err := h.Trim(always); err != nil {
		t.Fatal(err)
	}
	if left := tables("nothing in use"); left > int64(osmem.Granule) {
		t.Errorf("%d bytes of bitmaps are left of nothing", left)
	}
}
