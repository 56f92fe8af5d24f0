package arena

import (
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// TestBitmapBounds: a run is extended to the pages whose bits share an OS page with its own.
func TestBitmapBounds(t *testing.T) {
	step := uint32(osmem.PageSize() / bitmapBytes)
	for _, row := range [][4]uint32{
		{0, step, 0, step}, {0, 1, 0, step}, {step - 1, step + 1, 0, 2 * step}, {step, 2 * step, step, 2 * step},
		{step + 1, 2*step - 1, step, 2 * step}, {step, 2*step + 1, step, 3 * step}, {5*step + 3, 5*step + 4, 5 * step, 6 * step},
	} {
		if first, last := bitmapBounds(row[0], row[1]); first != row[2] || last != row[3] {
			t.Errorf("pages %d to %d: %d to %d, want %d to %d", row[0], row[1], first, last, row[2], row[3])
		}
	}
	for page := range 3 * step {
		if got := bitmapPage(page); got != uintptr(page/step) {
			t.Errorf("the bits of page %d are on OS page %d, want %d", page, got, page/step)
		}
	}
}

// TestCloseBitmaps: the OS pages of the bitmaps that lie inside of a run go back, those that
// are marked, and no others.
func TestCloseBitmaps(t *testing.T) {
	if !osmem.CanRelease {
		t.Skip("nothing is returned")
	}
	const osPages = 10
	step := uint32(osmem.PageSize() / bitmapBytes)
	table := newSpanTable(t, (osPages+1)*step)
	mustHold(t, table.back((osPages+1)*step-firstPage))
	for _, row := range []struct {
		first, pages uint32
		touched      []uintptr
		left         []uintptr
	}{
		{2 * step, 3 * step, []uintptr{1, 2, 3, 4, 5}, []uintptr{1, 5}},
		{2 * step, 3 * step, []uintptr{1, 3, 5}, []uintptr{1, 5}},
		{2 * step, 3 * step, []uintptr{2, 4}, nil},
		{2*step + 1, 3*step - 1, []uintptr{2, 3, 4, 5}, []uintptr{2, 5}},
		{2 * step, 3*step - 1, []uintptr{2, 3, 4, 5}, []uintptr{4, 5}},
		{2 * step, 1, []uintptr{2}, []uintptr{2}},
		{2 * step, 6 * step, []uintptr{1, 2, 3, 5, 6, 7, 8}, []uintptr{1, 8}},
	} {
		for page := range uintptr(osPages) {
			table.bitmaps.Bytes(page*osmem.PageSize(), 8)[0] = 0xff
		}
		table.touched.clear(0, osPages)
		for _, page := range row.touched {
			table.touched.set(page)
		}
		mustHold(t, table.closeBitmaps(row.first, row.pages))
		left := map[uintptr]bool{}
		for _, page := range row.left {
			left[page] = true
		}
		touched := map[uintptr]bool{}
		for _, page := range row.touched {
			touched[page] = true
		}
		for page := range uintptr(osPages) {
			if table.touched.has(page) != left[page] {
				t.Errorf("pages %d from %d on: OS page %d is marked: %v, want %v", row.pages, row.first, page, !left[page], left[page])
			}
			gone := table.bitmaps.Bytes(page*osmem.PageSize(), 8)[0] == 0
			if want := touched[page] && !left[page]; gone != want {
				t.Errorf("pages %d from %d on: OS page %d was returned: %v, want %v", row.pages, row.first, page, gone, want)
			}
		}
		if got := table.touched.count.Load(); got != int64(len(row.left)) {
			t.Errorf("pages %d from %d on: %d OS pages are counted, want %d", row.pages, row.first, got, len(row.left))
		}
	}
}
