package arena

import (
	"cmp"
	"math/bits"
	"sync"
	"unsafe"
)

// central is the list of a class's spans that have free objects, and the count
// of what it has given out.
//
//	objects of all spans of the class = given + the sum of span.free
//
// A span with no free object is in no list; one with all of them free goes back
// to the page heap. Objects come from the fullest spans, so that the others have
// a chance to become empty.
type central struct {
	mu      sync.Mutex
	partial fullness
	spans   int64 // spans of the class
	given   int64 // objects outside: with the program, in magazines, in the transfer cache
	_       [64]byte
}

// takeObjects fills into with free objects of the class on a node, as many as it can
// get without a second new span, and returns how many. An error comes with none; then
// a limit may have no room for the free objects that there are, whose memory is gone.
func (h *Heap) takeObjects(from *node, class uint8, into []unsafe.Pointer) (int, error) {
	c := &from.central[class]
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	if c.partial.fullest() == 0 {
		c.mu.Unlock()
		page, err := h.newSpan(from, class)
		c.mu.Lock()
		switch {
		case err == nil:
			// From this one first: while the lock was free, others may have filed
			// fuller ones, and a span in a list is not free all over.
			c.spans++
			c.partial.push(&h.spans, page)
			n, _ = h.takeFrom(c, page, into) // nothing of it is gone
		case c.partial.fullest() == 0:
			return 0, err
		}
	}
	var err error
	for n < len(into) && c.partial.fullest() != 0 && err == nil {
		var more int
		more, err = h.takeFrom(c, c.partial.fullest(), into[n:])
		n += more
	}
	if n == 0 {
		n = h.takeBacked(c, into)
	}
	if n == 0 {
		return 0, err
	}
	c.given += int64(n)
	return n, nil
}

// takeBacked is takeObjects for when a limit has no room: it takes objects of one
// listed span that are not gone.
func (h *Heap) takeBacked(c *central, into []unsafe.Pointer) int {
	for list := range c.partial.lists {
		for page := c.partial.lists[list].first; page != 0; page = h.spans.at(page).next {
			before := h.spans.at(page).free
			if n, _ := h.takeBits(page, into, false); n > 0 {
				h.taken(c, page, before)
				return n
			}
		}
	}
	return 0
}

// newSpan returns a span of the class with all objects free.
func (h *Heap) newSpan(from *node, class uint8) (page uint32, err error) {
	c := &classes[class]
	page, _, err = from.pages.alloc(c.pages, 1)
	if err != nil {
		return 0, err
	}
	s := h.spans.at(page)
	s.state, s.class, s.free = spanSmall, class, c.perSpan
	clear(h.spans.goneOf(page, c.pages))
	h.spans.openBitmap(page, c.perSpan)
	h.pageMap.setSmall(page, c.pages, class)
	return page, nil
}

// takeFrom moves free objects of a listed span into the array, first those that
// take memory already, and unlists the span with its last one. After an error,
// which is that of a limit, the others are gone.
func (h *Heap) takeFrom(c *central, page uint32, into []unsafe.Pointer) (n int, err error) {
	before := h.spans.at(page).free
	n, _ = h.takeBits(page, into, false)
	if n < len(into) && h.spans.at(page).gone > 0 {
		var more int
		more, err = h.takeBits(page, into[n:], true)
		n += more
	}
	if n > 0 {
		h.taken(c, page, before)
	}
	return n, err
}

// takeBits moves free objects of a span into the array: those that are gone only
// if they may be revived.
func (h *Heap) takeBits(page uint32, into []unsafe.Pointer, revive bool) (n int, err error) {
	s := h.spans.at(page)
	size := uintptr(ClassSize(s.class))
	start := h.addressOf(page)
	bitmap := h.spans.bitmap(page, classes[s.class].perSpan)
	if s.gone == 0 {
		for word := 0; word < len(bitmap) && n < len(into); word++ {
			n += takeWord(&bitmap[word], unsafe.Add(start, uintptr(word*64)*size), size, into[n:])
		}
		s.free -= uint32(n)
		return n, nil
	}
	defer func() { s.free -= uint32(n) }()
	for word := range bitmap {
		for rest := bitmap[word]; rest != 0; rest &= rest - 1 {
			if n == len(into) {
				return n, nil
			}
			bit := bits.TrailingZeros64(rest)
			offset := uintptr(word*64+bit) * size
			if h.isGone(page, offset, size) {
				if !revive {
					continue
				}
				if err := h.revive(page, offset, size); err != nil {
					return n, err
				}
			}
			bitmap[word] &^= 1 << bit
			into[n] = unsafe.Add(start, offset)
			n++
		}
	}
	return n, nil
}

// takeWord moves the free objects of one word of a bitmap, the first of whose objects
// would start at the given address, into the array, and returns how many. A whole word,
// as those of a new span are, is one store.
func takeWord(word *uint64, start unsafe.Pointer, size uintptr, into []unsafe.Pointer) (n int) {
	rest := *word
	if rest == ^uint64(0) && len(into) >= 64 {
		for i := range into[:64] {
			into[i] = unsafe.Add(start, uintptr(i)*size)
		}
		*word = 0
		return 64
	}
	for ; rest != 0 && n < len(into); n++ {
		into[n] = unsafe.Add(start, uintptr(bits.TrailingZeros64(rest))*size)
		rest &= rest - 1
	}
	*word = rest
	return n
}

// taken files a span anew that had so many free objects before, or unlists it if
// it has none.
func (h *Heap) taken(c *central, page, before uint32) {
	s := h.spans.at(page)
	s.still = 0
	if s.free == 0 {
		c.partial.remove(&h.spans, page, before)
	} else {
		c.partial.refile(&h.spans, page, before)
	}
}

// giveObjects puts objects of the class back into their spans, which changes their
// order. It returns one that was free already, the first on its node, or nil: the
// program has freed it twice, and only now can it be told.
func (h *Heap) giveObjects(class uint8, objects []unsafe.Pointer) (twice unsafe.Pointer) {
	for len(objects) > 0 {
		n, count := h.sameNode(objects)
		if also := h.giveObjectsOf(n, class, objects[:count]); twice == nil {
			twice = also
		}
		objects = objects[count:]
	}
	return twice
}

// giveObjectsOf is giveObjects for objects of one node.
func (h *Heap) giveObjectsOf(n *node, class uint8, objects []unsafe.Pointer) (twice unsafe.Pointer) {
	c := &n.central[class]
	c.mu.Lock()
	twice, doubles := h.giveRuns(c, class, objects)
	c.mu.Unlock()
	if doubles > 0 {
		h.doubleFrees.Add(doubles)
	}
	return twice
}

// giveRuns frees objects, a span with its last one. Objects of one span that follow each
// other are a run: its span is looked up once, and filed anew once. It returns the first
// object that was not in use, and how many were not.
func (h *Heap) giveRuns(c *central, class uint8, objects []unsafe.Pointer) (twice unsafe.Pointer, doubles int64) {
	var (
		r             run
		factor, bound = classTable.Factors[class], classTable.Bounds[class]
		bytes         = uintptr(classes[class].pages) << pageShift
	)
	for _, object := range objects {
		offset := uintptr(object) - r.start
		if offset >= bytes || r.page == 0 {
			h.settle(c, &r)
			if r = h.runAt(class, object); r.page == 0 {
				twice, doubles = cmp.Or(twice, object), doubles+1
				continue
			}
			offset = uintptr(object) - r.start
		}
		// What offset * factor leaves below 2^64 tells whether an object starts there;
		// see rseqcs.ClassTable.
		index, fraction := bits.Mul64(uint64(offset), factor)
		if fraction >= bound || r.bitmap[index/64]>>(index%64)&1 != 0 {
			twice, doubles = cmp.Or(twice, object), doubles+1
			continue
		}
		r.bitmap[index/64] |= 1 << (index % 64)
		r.count++
	}
	h.settle(c, &r)
	return twice, doubles
}

// run is the objects of one span that giveRuns frees: those whose bits it has set, and
// span.free does not count yet.
type run struct {
	page   uint32 // the first of the span, or 0 for no span
	count  uint32
	start  uintptr // address of the page
	bitmap []uint64
}

// runAt returns an empty run of the span in which an object of the class starts at the
// address, or no span where none can: then that span is free, or its pages are another
// one now. The caller has the central list's lock.
func (h *Heap) runAt(class uint8, object unsafe.Pointer) (r run) {
	if h.ClassAt(object) != class {
		return r
	}
	r.page = uint32(h.offsetOf(object) >> pageShift)
	r.page -= h.pageMap.at(uintptr(r.page)).Index()
	r.start = uintptr(h.addressOf(r.page))
	r.bitmap = h.spans.bitmap(r.page, classes[class].perSpan)
	return r
}

// settle counts the objects of a run, and files its span anew or frees it.
func (h *Heap) settle(c *central, r *run) {
	if r.count == 0 {
		return
	}
	s := h.spans.at(r.page)
	before := s.free
	s.free += r.count
	s.still = 0
	c.given -= int64(r.count)
	switch {
	case s.free == classes[s.class].perSpan:
		if before > 0 {
			c.partial.remove(&h.spans, r.page, before)
		}
		h.freeSpan(c, r.page)
	case before == 0:
		c.partial.push(&h.spans, r.page)
	default:
		c.partial.refile(&h.spans, r.page, before)
	}
}

// freeSpan gives a span whose objects are all free, and which is in no list any
// more, back to the page heap.
func (h *Heap) freeSpan(c *central, page uint32) {
	s := h.spans.at(page)
	pages := classes[s.class].pages
	c.spans--
	charge := h.forgetGone(page)
	s.state = spanNone
	h.pageMap.clear(page, pages)
	h.nodeOf(page).pages.release(page)
	h.budget.charge(charge)
}
