package arena

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// candidates finds, in a free run of any length, the last page that can be returned to
// the system, without looking at all of its marks. It has a bit for each group of pages
// and one for each word of these bits.
//
//	a free page of the group is a candidate  =>  the group's bit is set
//	a bit of the word is set                 =>  the word's bit is set
//
// Bits are set when pages become free, and cleared by a search that finds nothing in
// the group; so each is cleared at most as often as it is set. Page heaps of several
// nodes share words, so all changes are atomic.
type candidates struct{ groups, words osmem.Range }

const (
	groupShift = 6 // pages of a group: the marks of one fill a cache line
	groupPages = 1 << groupShift
	wordBits   = 64
)

// bytesFor returns the room for so many pages.
func (c *candidates) bytesFor(pages uintptr) (groups, words uintptr) {
	groups = (pages>>groupShift + wordBits) / wordBits * 8
	return roundUp(groups), roundUp((groups/8 + wordBits) / wordBits * 8)
}

// back makes the bits usable up to the given page.
func (c *candidates) back(pages uintptr) error {
	if err := c.groups.Back((pages>>groupShift + wordBits) / wordBits * 8); err != nil {
		return err
	}
	return c.words.Back(c.words.Size)
}

func wordAt(r *osmem.Range, number uint32) *uint64 {
	return (*uint64)(unsafe.Add(r.Base, uintptr(number)*8))
}

// set sets the bits of the groups that a run lies in.
func (c *candidates) set(first, pages uint32) {
	for group, end := first>>groupShift, (first+pages-1)>>groupShift+1; group < end; {
		number, low := group/wordBits, group%wordBits
		count := min(wordBits-low, end-group)
		mask := ^uint64(0) >> (wordBits - count) << low
		if word := wordAt(&c.groups, number); atomic.LoadUint64(word)&mask != mask {
			atomic.OrUint64(word, mask)
			atomic.OrUint64(wordAt(&c.words, number/wordBits), 1<<(number%wordBits))
		}
		group += count
	}
}

// clear clears the bit of a group.
func (c *candidates) clear(group uint32) {
	number := group / wordBits
	word, above := wordAt(&c.groups, number), wordAt(&c.words, number/wordBits)
	bit := uint64(1) << (group % wordBits)
	if atomic.AndUint64(word, ^bit) != bit {
		return
	}
	atomic.AndUint64(above, ^(uint64(1) << (number % wordBits)))
	if atomic.LoadUint64(word) != 0 { // another node has set one meanwhile
		atomic.OrUint64(above, 1<<(number%wordBits))
	}
}

// last returns the last group from begin up to end, end not included, whose bit is set.
func (c *candidates) last(begin, end uint32) (group uint32, ok bool) {
	for end > begin {
		number := (end - 1) / wordBits
		word := atomic.LoadUint64(wordAt(&c.groups, number)) & (^uint64(0) >> (wordBits - 1 - (end-1)%wordBits))
		if word != 0 {
			group = number*wordBits + uint32(bits.Len64(word)) - 1
			return group, group >= begin
		}
		if number == 0 {
			break
		}
		end = c.wordBefore(number) * wordBits
	}
	return 0, false
}

// wordBefore returns 1 + the number of the last word before the given one whose bit is
// set, or 0.
func (c *candidates) wordBefore(number uint32) uint32 {
	for ; number > 0; number = (number - 1) / wordBits * wordBits {
		at := (number - 1) / wordBits
		if word := atomic.LoadUint64(wordAt(&c.words, at)) & (^uint64(0) >> (wordBits - 1 - (number-1)%wordBits)); word != 0 {
			return at*wordBits + uint32(bits.Len64(word))
		}
	}
	return 0
}

// lastCandidate returns the last page of a part of a free run that can be returned to
// the system, or 0.
func (t *spanTable) lastCandidate(begin, end uint32) uint32 {
	for begin < end {
		group, ok := t.candidates.last(begin>>groupShift, (end-1)>>groupShift+1)
		if !ok {
			return 0
		}
		first, last := max(begin, group<<groupShift), min(end, (group+1)<<groupShift)
		for page := last; page > first; page-- {
			if t.isCandidate(page - 1) {
				return page - 1
			}
		}
		if last-first == groupPages {
			t.candidates.clear(group)
		}
		end = first
	}
	return 0
}
