package arena

import (
	"math/bits"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// What the sections compute with a check word, as numbers (rseqcs.CheckOf).
const (
	headerBytes = 8  // of the header of a class in a slab
	headerShift = 32 // of its offset in a check word
	pagesOf64K  = 1 << (rseqcs.OriginShift - pageShift)
)

// forEachPage calls body for every page that a span of any class can have, in every
// place in 64 KiB, and for a page without objects, as class 0, with its check word.
func forEachPage(body func(class uint8, index, low uint32, word uint64)) {
	for low := range uint32(pagesOf64K) {
		body(0, 0, low, 0)
		for class := uint8(1); class < classCount; class++ {
			for index := range classes[class].pages {
				body(class, index, low, uint64(classTable.CheckOf(class, index, low, noOwner)))
			}
		}
	}
}

// isNear reports whether the upper half of what a section computes from the offset in
// 64 KiB is what is expected of the guess, or one less. Both are excluded where objects of
// another class are: so no owner, which is less than 1<<32, makes the section accept.
func isNear(guess uint8, offset, word uint64) bool {
	high := (offset*classTable.Factors[guess] + word - uint64(guess)*headerBytes<<headerShift) >> headerShift
	return (high+1)&(1<<32-1) < 2
}

// TestNoGuessAcceptsAnotherClass looks at every guess for every page of every class, and
// for pages without objects, at every offset. With -short it looks only at offsets where
// the product comes near: offset * factor is near remainder * factor, where remainder is
// the offset modulo the size of the guess.
func TestNoGuessAcceptsAnotherClass(t *testing.T) {
	forEachPage(func(class uint8, index, low uint32, word uint64) {
		refuse := func(guess uint8, offset uint64) {
			if isNear(guess, offset, word) {
				t.Errorf("class %d, page %d of its span, %d of 64 KiB: the guess %d comes near at %d", class, index, low, guess, offset)
			}
		}
		begin, end := uint64(low)<<pageShift, uint64(low+1)<<pageShift
		for guess := uint8(1); guess < classCount; guess++ {
			switch {
			case guess == class:
			case testing.Short():
				size := uint64(classes[guess].size)
				below := (uint64(guess)*headerBytes<<headerShift - word) / classTable.Factors[guess]
				for _, remainder := range []uint64{below + size - 1, below, below + 1} {
					for offset := begin + (remainder+size-begin%size)%size; offset < end; offset += size {
						refuse(guess, offset)
					}
				}
			default:
				for offset := begin; offset < end; offset++ {
					refuse(guess, offset)
				}
			}
		}
		if class != 0 { // of class 0 the factor is 0, and there are no objects
			refuse(0, begin)
		}
	})
}

// TestStartsAtObjectsAlone marks spans of every class at every place in 64 KiB and asks for
// every address of them.
func TestStartsAtObjectsAlone(t *testing.T) {
	h := openHeap(t, 32<<20, 0)
	for class := uint8(1); class < classCount; class++ {
		c := &classes[class]
		for page := uint32(2 * pagesOf64K); page < 3*pagesOf64K; page++ {
			h.pageMap.setSmall(page, c.pages, class)
			start := h.addressOf(page)
			for offset := range uintptr(c.pages) << pageShift {
				want := offset%uintptr(c.size) == 0 && offset/uintptr(c.size) < uintptr(c.perSpan)
				if h.Blocks.Starts(class, unsafe.Add(start, offset)) != want {
					t.Fatalf("class %d of %d bytes, from page %d on: at %d an object starts, or not: want %t", class, c.size, page, offset, want)
				}
			}
			h.pageMap.clear(page, c.pages)
			if h.Blocks.Starts(class, start) {
				t.Fatalf("class %d of %d bytes: an object starts on a page that is cleared", class, c.size)
			}
		}
	}
}

// TestSlackIsAsNarrowAsItCanBe: the field of a check word that the starts of a span differ
// by has as many bits as the classes need, and the factors keep the distance that
// rseqcs.CheckOf relies on.
func TestSlackIsAsNarrowAsItCanBe(t *testing.T) {
	most := uint64(0)
	for class := 1; class < classCount; class++ {
		most = max(most, classTable.Bounds[class])
		if classTable.Factors[class] < 1<<46 {
			t.Errorf("class %d: the factor %d is below 2^46", class, classTable.Factors[class])
		}
	}
	if need := bits.Len64(most - 1); need != rseqcs.SlackBits {
		t.Errorf("the classes need %d bits, not %d", need, rseqcs.SlackBits)
	}
}
