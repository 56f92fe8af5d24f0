package arena

import "math/bits"

// bins sorts the free spans by their length: one list for each length up to exactBins
// pages, one tree for all longer ones. A bit in occupied says that a list is not empty.
type bins struct {
	lists    [exactBins]spanList
	occupied [exactBins / 64]uint64
	long     sizeTree
}

const (
	exactBins = 128 // pages

	// sameLengthTries bounds the comparison of spans of the same length.
	sameLengthTries = 32
)

func (b *bins) insert(t *spanTable, page uint32) {
	pages := t.at(page).pages
	if pages > exactBins {
		b.long.insert(t, page)
		return
	}
	b.lists[pages-1].push(t, page)
	b.occupied[(pages-1)/64] |= 1 << ((pages - 1) % 64)
}

func (b *bins) remove(t *spanTable, page uint32) {
	pages := t.at(page).pages
	if pages > exactBins {
		b.long.remove(t, page)
		return
	}
	b.lists[pages-1].remove(t, page)
	if b.lists[pages-1].first == 0 {
		b.occupied[(pages-1)/64] &^= 1 << ((pages - 1) % 64)
	}
}

// find returns one of the shortest free spans of at least the given length, or 0 if
// there is none: of long ones that with the lowest address.
func (b *bins) find(t *spanTable, pages uint32) uint32 {
	for bin := pages - 1; bin < exactBins; bin = (bin/64 + 1) * 64 {
		if rest := b.occupied[bin/64] >> (bin % 64); rest != 0 {
			return b.lists[bin+uint32(bits.TrailingZeros64(rest))].first
		}
	}
	return b.long.atLeast(t, pages, 0)
}

// fullest returns, among the first spans of the same length as the given one, which
// find has returned, one that is fuller than the others.
func (b *bins) fullest(t *spanTable, page uint32, fuller func(page, than uint32) bool) uint32 {
	pages, best, at := t.at(page).pages, page, page
	for range sameLengthTries {
		if pages > exactBins {
			at = b.long.atLeast(t, pages, at+1)
		} else {
			at = t.at(at).next
		}
		if at == 0 || t.at(at).pages != pages {
			break
		}
		if fuller(at, best) {
			best = at
		}
	}
	return best
}

// last returns one of the longest spans, or 0.
func (b *bins) last(t *spanTable) uint32 {
	if page := b.long.last(t); page != 0 {
		return page
	}
	for word := len(b.occupied) - 1; word >= 0; word-- {
		if b.occupied[word] != 0 {
			return b.lists[word*64+bits.Len64(b.occupied[word])-1].first
		}
	}
	return 0
}

// each calls f for every span, the longest first, until it returns false. f may take
// the span out and file it again, also here.
func (b *bins) each(t *spanTable, f func(page uint32) bool) {
	for page := b.long.last(t); page != 0; {
		pages := t.at(page).pages
		if !f(page) {
			return
		}
		page = b.long.below(t, pages, page)
	}
	for bin := len(b.lists) - 1; bin >= 0; bin-- {
		for page := b.lists[bin].first; page != 0; {
			next := t.at(page).next
			if !f(page) {
				return
			}
			page = next
		}
	}
}
