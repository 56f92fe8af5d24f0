package arena

import (
	"math"
	"math/bits"
)

// bins sorts the free spans by their length: one bin for each length up to
// exactBins pages, above that eight for each doubling. A bit in occupied says
// that a bin is not empty.
type bins struct {
	lists    [binCount]spanList
	occupied [(binCount + 63) / 64]uint64
}

const (
	exactBins = 128 // pages
	binCount  = exactBins + 8*(29-7) + 1

	// bestFitTries bounds the search for the shortest span in a bin of many lengths.
	bestFitTries = 32
)

// binOf returns the bin of spans of the given length.
func binOf(pages uint32) int {
	if pages <= exactBins {
		return int(pages) - 1
	}
	log := bits.Len32(pages) - 1
	return exactBins + (log-7)*8 + int(pages>>(log-3))&7
}

func (b *bins) insert(t *spanTable, page uint32) {
	bin := binOf(t.at(page).pages)
	b.lists[bin].push(t, page)
	b.occupied[bin/64] |= 1 << (bin % 64)
}

func (b *bins) remove(t *spanTable, page uint32) {
	bin := binOf(t.at(page).pages)
	b.lists[bin].remove(t, page)
	if b.lists[bin].first == 0 {
		b.occupied[bin/64] &^= 1 << (bin % 64)
	}
}

// find returns a free span of at least the given length, or 0 if there is none:
// of the first bin that has one the shortest among bestFitTries spans. Only
// where no other bin has one does it search all of the first.
func (b *bins) find(t *spanTable, pages uint32) uint32 {
	first := binOf(pages)
	if page := b.findIn(t, first, pages, bestFitTries); page != 0 {
		return page
	}
	// Every span of a higher bin is long enough.
	if bin := b.next(first + 1); bin < binCount {
		return b.findIn(t, bin, pages, bestFitTries)
	}
	return b.findIn(t, first, pages, math.MaxInt)
}

// fullest returns, among the first spans of the same length as the given one, which
// find has returned, one that is fuller than the others.
func (b *bins) fullest(t *spanTable, page uint32, fuller func(page, than uint32) bool) uint32 {
	pages := t.at(page).pages
	best, tries := page, bestFitTries
	for page := b.lists[binOf(pages)].first; page != 0 && tries > 0; page = t.at(page).next {
		if t.at(page).pages == pages && fuller(page, best) {
			best = page
		}
		tries--
	}
	return best
}

// findIn returns the shortest span of at least the given length among the first
// spans of a bin, or 0.
func (b *bins) findIn(t *spanTable, bin int, pages uint32, tries int) (best uint32) {
	shortest := uint32(math.MaxUint32)
	for page := b.lists[bin].first; page != 0 && tries > 0; page = t.at(page).next {
		switch length := t.at(page).pages; {
		case length == pages:
			return page
		case length > pages && length < shortest:
			best, shortest = page, length
		}
		tries--
	}
	return best
}

// last returns a span of the last bin that has one, or 0.
func (b *bins) last() uint32 {
	for word := len(b.occupied) - 1; word >= 0; word-- {
		if b.occupied[word] != 0 {
			return b.lists[word*64+bits.Len64(b.occupied[word])-1].first
		}
	}
	return 0
}

// next returns the first bin from bin on that is not empty, or binCount.
func (b *bins) next(bin int) int {
	for word := bin / 64; word < len(b.occupied); word++ {
		rest := b.occupied[word]
		if word == bin/64 {
			rest &= ^uint64(0) << (bin % 64)
		}
		if rest != 0 {
			return word*64 + bits.TrailingZeros64(rest)
		}
	}
	return binCount
}
