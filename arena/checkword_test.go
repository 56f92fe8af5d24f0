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
	headerShift = 35 // of its offset in a check word
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

// isNear reports whether the header's field of what a section computes from the offset in
// 64 KiB is what is expected of the guess, or one less. Both are excluded where objects of
// another class are: so no owner, whose field is below, makes the section accept.
func isNear(guess uint8, offset, word uint64) bool {
	high := (offset*classTable.Factors[guess] + word - uint64(guess)*headerBytes<<headerShift) >> headerShift
	return (high+1)&(1<<(64-headerShift)-1) < 2
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

// FuzzGuess asks for one address of a page with a guess of the class and of the owner, as
// numbers: it is accepted if both are right and an object starts there. The guesses of
// another class, which TestNoGuessAcceptsAnotherClass takes one by one without owners,
// have owners here.
func FuzzGuess(f *testing.F) {
	f.Add(uint8(8), uint8(8), uint32(0), uint32(3), uint64(128), uint32(0), uint32(0))
	f.Add(uint8(3), uint8(8), uint32(0), uint32(7), uint64(8184), uint32(0), uint32(0))
	f.Add(uint8(40), uint8(41), uint32(1), uint32(1), uint64(0), uint32(5), uint32(8191))
	f.Add(uint8(0), uint8(1), uint32(0), uint32(0), uint64(0), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, class, guess uint8, index, page uint32, offset uint64, owner, expected uint32) {
		const slack = rseqcs.SlackBits
		const ownerShift, owners = slack + 1, 1 << (headerShift - slack - 1)
		class, guess, page, offset = class%classCount, 1+guess%(classCount-1), page%(1<<24), offset%(1<<pageShift)
		owner, expected = owner%owners, expected%owners
		word, starts := uint64(0), false
		if class != 0 {
			c := &classes[class]
			index %= c.pages
			word = uint64(classTable.CheckOf(class, index, page, owner))
			inSpan := uint64(index)<<pageShift + offset
			starts = inSpan%uint64(c.size) == 0 && inSpan/uint64(c.size) < uint64(c.perSpan)
		}
		low := uint64(page%pagesOf64K)<<pageShift + offset
		expectedWord := uint64(guess)*headerBytes<<headerShift + uint64(expected)<<ownerShift
		accepted := (low*classTable.Factors[guess]+word)>>slack == expectedWord>>slack
		if want := starts && class == guess && owner == expected; accepted != want {
			t.Errorf("class %d, page %d of its span, %d of the range, offset %d, owner %d: with the guess %d of owner %d accepted %t, want %t",
				class, index, page, offset, owner, guess, expected, accepted, want)
		}
	})
}
