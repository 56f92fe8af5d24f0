package rseqcs

import (
	"fmt"
	"unsafe"
)

// CheckWord tells of a page where objects start on it, and of which class, so that a
// section compares all of this at once. Zero is on pages where none does: free ones,
// those of large blocks. See CheckOf.
type CheckWord uint64

// lowBits are those of an address that a check word is tested with. They tell the page
// of a range, modulo 8, and the offset in it, since the origin is a multiple of 64 KiB.
const (
	lowBits  = 1<<OriginShift - 1
	lowPages = lowBits >> PageShift
)

// CheckOf returns the check word of a page of a span: of the class whose objects it
// has, of the index of the page in the span, of the number of the page in the range,
// and of the owner of the span, below 1<<ownerBits. For an address whose low 16 bits
// are o,
//
//	v = o * factor + word, modulo 2^64
//
// consists of four fields exactly if an object starts there:
//
//	bits 0 to SlackBits-1   slack: what the starts of the span differ by
//	bit guardBit            0
//	up to headerShift-1     the owner
//	from headerShift on     the offset of the class's header
//
// and a section compares all but the slack with what it expects (startTest). Why this
// is so, with size * factor = 2^64 + e, where 0 <= e < size, and n objects in a span:
//
//   - The word contains the distance from the low 16 bits to the offset in the span
//     times factor. So v is offset * factor plus constants.
//   - Of object j, offset * factor is j * e, modulo 2^64. The word adds
//     1<<SlackBits - Bounds to the slack, where Bounds = n*e: so for j < n the slack
//     does not carry, and for j = n, the one multiple of size in the tail behind the
//     last object, it carries into the guard bit. For powers of two e is 0, and there
//     is no tail; Bounds is 1.
//   - Of an offset between two multiples, offset * factor is j*e + r*factor with
//     0 < r < size. This is at least factor, which is at least 2^46, and at most
//     2^64 - factor + (j+1)*e. So it is far from what the owner and the slack make up,
//     which is less than 2^35 on either side: the header's field of v differs.
//   - Of another owner v differs by a multiple of 1<<ownerShift below 2^35 from what
//     it is for the right one. So it differs in the compared fields where an object
//     starts, and elsewhere in the header's field, as above.
//   - Of another class than the one that the section guesses, v is o * factor of the
//     one plus the word of the other. That this is not what is expected of any guess,
//     page, offset and owner is not a theorem, but true of the classes of package
//     arena, whose tests show it for all of them.
func (t *ClassTable) CheckOf(class uint8, index, page, owner uint32) CheckWord {
	distance := (uint64(index) - uint64(page&lowPages)) << PageShift
	word := distance*t.Factors[class] + 1<<SlackBits - t.Bounds[class]
	return CheckWord(word + uint64(owner)<<ownerShift + uint64(class)*headerSize<<headerShift)
}

// startTest is what a section needs of a class to test an address with the check word
// of its page.
type startTest struct {
	factor uint64
	want   uint64 // guard bit, owner and header, shifted to bit 0
}

// startTestOf returns the test for the objects of a class in spans of an owner. It panics
// for a class whose slack does not fit: the table is wrong.
func (t *ClassTable) startTestOf(class uint8, owner uint32) startTest {
	if t.Bounds[class] > 1<<SlackBits {
		panic(fmt.Sprintf("rseqcs: class %d of %d bytes has the bound %d, at most %d fits a check word", class, t.Sizes[class], t.Bounds[class], 1<<SlackBits))
	}
	want := uint64(class)*headerSize<<headerShift + uint64(owner)<<ownerShift
	return startTest{t.Factors[class], want >> SlackBits}
}

// accepts reports whether an object starts at an address whose page has the word.
func (s startTest) accepts(address unsafe.Pointer, word CheckWord) bool {
	return (uint64(uintptr(address)&lowBits)*s.factor+uint64(word))>>SlackBits == s.want
}
