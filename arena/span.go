package arena

import (
	"math/bits"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// spanState tells what a span is.
type spanState uint8

const (
	spanNone  spanState = iota // not the first page of a span
	spanFree                   // of the page heap
	spanSmall                  // of a central list: objects of one class
	spanLarge                  // one block
)

// span is the record of a run of pages; it stands at the number of its first
// page. The page heap's lock guards all of it while the span is free, the
// central list's lock of its class while it is small.
//
//	small: free = number of ones in its bitmap <= perSpan
//	       gone = number of ones in its gone bits; every object on such a piece is free
//	free:  resident = its pages that are not bare (bare.go), and the record of the last
//	       page names the first in head
type span struct {
	pages      uint32
	next, prev uint32 // page numbers of the neighbours in a list, or 0
	head       uint32 // on the last page of a free span: its first page; else 0
	free       uint32 // small: free objects, those in caches not counted
	resident   uint32 // free: pages that may take memory
	state      spanState
	class      uint8
	refused    bool   // free: pages may be marked as refused
	stuck      bool   // free: pages take memory, and none of them is a candidate
	kept       bool   // free: what takes memory lies on huge pages that others use
	still      uint8  // small: sweeps since objects came or went, up to sweptStill
	gone       uint16 // small: pieces whose memory was returned to the system
}

// spanTable holds for every page a record, a bit for every eight bytes, one for a
// free object, and a byte of marks (bare.go), and bits for groups of pages. What is for
// pages that were never used is never touched.
type spanTable struct {
	memory                 osmem.Range // of which the others are parts
	records, bitmaps, gone osmem.Range
	touched                touched // OS pages of the bitmaps
	candidates             candidates
}

// reserve makes t, which must be zero, a table for so many pages.
func (t *spanTable) reserve(pages uintptr, name string) (err error) {
	marks := roundUp(markBytes(pages * bitmapBytes))
	records, bitmaps, gone := roundUp(pages*unsafe.Sizeof(span{})), roundUp(pages*bitmapBytes), roundUp(pages)
	groups, words := t.candidates.bytesFor(pages)
	if t.memory, err = osmem.Reserve(marks+records+bitmaps+gone+groups+words, name+" spans"); err != nil {
		return err
	}
	t.memory.NoHugePages()
	offset := uintptr(0)
	for _, part := range []struct {
		of   *osmem.Range
		size uintptr
	}{{&t.touched.marks, marks}, {&t.records, records}, {&t.bitmaps, bitmaps}, {&t.gone, gone}, {&t.candidates.groups, groups}, {&t.candidates.words, words}} {
		*part.of = t.memory.Part(offset, part.size)
		offset += part.size
	}
	return nil
}

func (t *spanTable) at(page uint32) *span {
	return (*span)(unsafe.Add(t.records.Base, uintptr(page)*unsafe.Sizeof(span{})))
}

// bitmap returns the bits of the objects of a span, rounded up to words.
func (t *spanTable) bitmap(first, objects uint32) []uint64 {
	words := unsafe.Add(t.bitmaps.Base, uintptr(first)*bitmapBytes)
	return unsafe.Slice((*uint64)(words), (objects+63)/64)
}

// back makes records and bits usable up to the given page.
func (t *spanTable) back(pages uint32) error {
	if err := t.touched.marks.Back(markBytes(uintptr(pages) * bitmapBytes)); err != nil {
		return err
	}
	if err := t.records.Back(uintptr(pages) * unsafe.Sizeof(span{})); err != nil {
		return err
	}
	if err := t.bitmaps.Back(uintptr(pages) * bitmapBytes); err != nil {
		return err
	}
	if err := t.candidates.back(uintptr(pages)); err != nil {
		return err
	}
	return t.gone.Back(uintptr(pages))
}

// setAll sets the bits of all objects.
func setAll(bitmap []uint64, objects uint32) {
	for i := range bitmap {
		bitmap[i] = ^uint64(0)
	}
	if rest := objects % 64; rest != 0 {
		bitmap[len(bitmap)-1] = 1<<rest - 1
	}
}

// countOnes returns the number of free objects.
func countOnes(bitmap []uint64) (n uint32) {
	for _, word := range bitmap {
		n += uint32(bits.OnesCount64(word))
	}
	return n
}

// spanList is a list of spans, linked by page numbers.
type spanList struct{ first uint32 }

func (l *spanList) push(t *spanTable, page uint32) {
	s := t.at(page)
	s.prev, s.next = 0, l.first
	if l.first != 0 {
		t.at(l.first).prev = page
	}
	l.first = page
}

func (l *spanList) remove(t *spanTable, page uint32) {
	s := t.at(page)
	if s.prev == 0 {
		l.first = s.next
	} else {
		t.at(s.prev).next = s.next
	}
	if s.next != 0 {
		t.at(s.next).prev = s.prev
	}
	s.next, s.prev = 0, 0
}
