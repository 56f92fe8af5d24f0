package arena

import (
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// The bitmaps are the largest of the tables: a 64th of the pages that hold objects. A
// free run needs none, so they go back to the system with its memory, OS page by OS
// page. Which of these are there is noted, to ask the system for no more, and to count
// what the tables take.

// touched has a mark for each OS page of the bitmaps that may take memory.
//
//	count = number of marks that are set
type touched struct {
	marks osmem.Range
	count atomic.Int64
}

// marksPerWord is how many OS pages one word of touched tells of.
const marksPerWord = 32

// markBytes returns the room for the marks of so many bytes of bitmaps.
func markBytes(bitmaps uintptr) uintptr {
	pages := (bitmaps + osmem.PageSize() - 1) / osmem.PageSize()
	return (pages + marksPerWord - 1) / marksPerWord * 4
}

// word returns where the mark of an OS page is. Spans of different owners share it.
func (t *touched) word(page uintptr) (word *atomic.Uint32, mark uint32) {
	return (*atomic.Uint32)(unsafe.Add(t.marks.Base, page/marksPerWord*4)), 1 << (page % marksPerWord)
}

// has reports whether an OS page is marked.
func (t *touched) has(page uintptr) bool {
	word, mark := t.word(page)
	return word.Load()&mark != 0
}

// set marks an OS page.
func (t *touched) set(page uintptr) {
	if word, mark := t.word(page); word.Load()&mark == 0 && word.Or(mark)&mark == 0 {
		t.count.Add(1)
	}
}

// clear takes the marks of OS pages back.
func (t *touched) clear(first, end uintptr) {
	for ; first < end; first++ {
		if word, mark := t.word(first); word.And(^mark)&mark != 0 {
			t.count.Add(-1)
		}
	}
}

// openBitmap sets the bits of a new span, whose pages belong to the caller.
func (t *spanTable) openBitmap(first, objects uint32) {
	t.touched.set(bitmapPage(first))
	setAll(t.bitmap(first, objects), objects)
}

// bitmapPage returns the OS page of the bitmaps on which the bits of a span lie: they
// have room enough in what is there for its first page.
func bitmapPage(first uint32) uintptr { return uintptr(first) * bitmapBytes / osmem.PageSize() }

// bitmapBounds extends a run to where OS pages of the bitmaps begin and end.
func bitmapBounds(begin, end uint32) (first, last uint32) {
	step := uint32(osmem.PageSize() / bitmapBytes)
	return begin / step * step, (end + step - 1) / step * step
}

// closeBitmaps returns the bitmaps of a run without spans to the system, as far as they
// lie on OS pages of their own. The run belongs to the caller.
func (t *spanTable) closeBitmaps(first, pages uint32) error {
	size := osmem.PageSize()
	page := (uintptr(first)*bitmapBytes + size - 1) / size
	end := (uintptr(first) + uintptr(pages)) * bitmapBytes / size
	for page < end {
		if !t.touched.has(page) {
			page++
			continue
		}
		behind := page + 1
		for behind < end && t.touched.has(behind) {
			behind++
		}
		if _, _, err := t.bitmaps.Release(page*size, (behind-page)*size); err != nil {
			return err
		}
		t.touched.clear(page, behind)
		page = behind
	}
	return nil
}
