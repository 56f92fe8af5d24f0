package rseqcs

import (
	"math/bits"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// FuzzCheckOf asks for one address of a span of one class: it is accepted where an object
// starts and the owner is the one expected, and nowhere else. Size, number of the class,
// pages, place in the range and owners are arbitrary.
func FuzzCheckOf(f *testing.F) {
	f.Add(uint32(3), uint8(4), uint32(1), uint32(0), uint32(9), uint64(24), uint32(0), uint32(0))
	f.Add(uint32(3), uint8(4), uint32(1), uint32(0), uint32(9), uint64(8184), uint32(0), uint32(0)) // in the tail
	f.Add(uint32(144), uint8(127), uint32(4), uint32(2), uint32(7), uint64(1152*21-2*8192), uint32(1), uint32(8191))
	f.Add(uint32(7), uint8(8), uint32(1), uint32(0), uint32(1<<20-1), uint64(64), uint32(8191), uint32(8191))
	f.Add(uint32(4096), uint8(90), uint32(40), uint32(39), uint32(5), uint64(0), uint32(2), uint32(3))
	f.Fuzz(checkOne)
}

// TestCheckOf is the same with random arguments, which are often those of an object.
func TestCheckOf(t *testing.T) {
	random := steady.Random(t)
	for range 10_000 {
		words, most := random.Uint32(), random.Uint32()
		if random.IntN(2) == 0 {
			words %= 1 << random.IntN(16)
		}
		index, offset := random.Uint32(), random.Uint64()
		if _, size, pages, _ := oneClass(words, 1, most); random.IntN(2) == 0 {
			inSpan := uint64(random.IntN(int(uint64(pages)<<PageShift/size)+1)) * size
			if inSpan < uint64(pages)<<PageShift { // the last one may be in the tail
				index, offset = uint32(inSpan>>PageShift), inSpan
			}
		}
		owner := random.Uint32()
		expected := owner
		if random.IntN(4) == 0 {
			expected += 1 << random.IntN(ownerBits)
		}
		checkOne(t, words, uint8(random.Uint32()), most, index, random.Uint32(), offset, owner, expected)
		if t.Failed() {
			return
		}
	}
}

// checkOne asks for one address with one word.
func checkOne(t *testing.T, words uint32, class uint8, most, index, page uint32, offset uint64, owner, expected uint32) {
	table, size, pages, ok := oneClass(words, class, most)
	if class %= MaxClasses; !ok || class == 0 {
		return
	}
	index, page, offset = index%pages, page%(1<<24), offset%(1<<PageShift)
	owner, expected = owner%(1<<ownerBits), expected%(1<<ownerBits)
	// The origin is a multiple of 64 KiB, so the address tells no more than this.
	address := unsafe.Add(unsafe.Pointer(nil), uintptr(page%(lowPages+1))<<PageShift+uintptr(offset)+1<<20)
	inSpan := uint64(index)<<PageShift + offset
	objects := uint64(pages) << PageShift / size
	want := inSpan%size == 0 && inSpan/size < objects && owner == expected
	test, word := table.startTestOf(class, expected), table.CheckOf(class, index, page, owner)
	if test.accepts(address, word) != want {
		t.Errorf("class %d of %d bytes, page %d of %d, number %d of the range, offset %d, owner %d, %d expected: want %t",
			class, size, index, pages, page, offset, owner, expected, want)
	}
	if test.accepts(address, 0) {
		t.Errorf("class %d of %d bytes, offset %d: accepted on a page without objects", class, size, offset)
	}
}

// oneClass returns a table of one class of so many words, which has no more pages in a span
// than asked for; not ok if the slack of such a span does not fit.
func oneClass(words uint32, class uint8, most uint32) (table *ClassTable, size uint64, pages uint32, ok bool) {
	size = uint64(1+words%(MaxSmall/8)) * 8
	if size > FineUpTo {
		size = (size + 1<<CoarseShift - 1) &^ (1<<CoarseShift - 1)
	}
	pages = max(1+most%64, uint32((size+1<<PageShift-1)>>PageShift))
	power := bits.OnesCount64(size) == 1
	if power { // without a tail
		pages = uint32((uint64(pages)<<PageShift + size - 1) &^ (size - 1) >> PageShift)
	}
	table = new(ClassTable)
	class %= MaxClasses
	table.Sizes[class] = uint32(size)
	table.Factors[class] = ^uint64(0)/size + 1
	table.Bounds[class] = max(1, uint64(pages)<<PageShift/size*size*table.Factors[class])
	return table, size, pages, table.Bounds[class] <= 1<<SlackBits
}

// TestSlackMustFit: a class whose starts differ by more than the slack has bits is refused.
func TestSlackMustFit(t *testing.T) {
	table := newClassTable([]int{24})
	table.Bounds[1] = 1 << SlackBits
	table.startTestOf(1, noOwner)
	table.Bounds[1]++
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	table.startTestOf(1, noOwner)
}
