package arena

import (
	"fmt"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// CheckInvariants checks the equations that the comments of the structures
// state, and returns the first that does not hold. It looks at every page that
// was ever used. Nobody else may use the heap meanwhile. It is for tests.
func (h *Heap) CheckInvariants() error {
	var large census
	for i, n := range h.nodes {
		if err := h.checkNode(n, &large); err != nil {
			return fmt.Errorf("node at position %d: %w", i, err)
		}
	}
	if blocks, bytes := h.large.blocks.Load(), h.large.bytes.Load(); blocks != large.spans || bytes != large.pages<<pageShift {
		return fmt.Errorf("%d large blocks of %d pages are counted as %d of %d bytes", large.spans, large.pages, blocks, bytes)
	}
	if err := h.spans.checkTouched(); err != nil {
		return err
	}
	if err := h.checkCapacity(); err != nil {
		return err
	}
	return h.budget.checkCharged(h.chargeable())
}

// checkCapacity checks the equations of demand against the headers of the magazines.
func (h *Heap) checkCapacity() error {
	for slab := range h.capacity.slabs {
		d, bytes := h.capacity.slabs[slab].Load(), int64(0)
		if d == nil {
			d = new(demand)
		}
		for class := uint8(1); class < classCount; class++ {
			now, _ := h.Magazines.Capacity(slab, int(class))
			if now > int(h.capacity.initial[class]) && !(d.grown.has(class) && d.known.has(class)) {
				return fmt.Errorf("slab %d: class %d has room for %d objects, more than at first, and does not count as grown", slab, class, now)
			}
			if d.known.has(class) {
				bytes += int64(max(now, int(h.capacity.initial[class]))) * int64(classes[class].size)
			}
		}
		if counted := d.bytes.Load(); counted != bytes {
			return fmt.Errorf("slab %d: room for %d bytes is counted as %d", slab, bytes, counted)
		}
	}
	return nil
}

// checkNode checks what lies in the part of one node.
func (h *Heap) checkNode(n *node, large *census) error {
	if err := n.pages.checkSpans(); err != nil {
		return err
	}
	var found [classCount]census
	var gone int64
	for page := n.pages.first; page < n.pages.top; {
		s := h.spans.at(page)
		if h.nodeOf(page) != n || h.nodeOf(page+s.pages-1) != n {
			return fmt.Errorf("page %d: a span of %d pages that are not all of this node", page, s.pages)
		}
		var err error
		switch s.state {
		case spanFree:
			err = h.checkEntries(page, s.pages, func(uint32) rseqcs.PageEntry { return 0 })
		case spanSmall:
			found[s.class].add(s)
			gone += int64(s.gone)
			err = h.checkSmall(page, s)
		case spanLarge:
			large.add(s)
			err = h.checkEntries(page, s.pages, func(i uint32) rseqcs.PageEntry {
				if i == 0 {
					return classLarge
				}
				return 0
			})
		default:
			err = fmt.Errorf("page %d: no span starts where the one before ends", page)
		}
		if err != nil {
			return err
		}
		page += s.pages
	}
	if counted := n.gone.pieces.Load(); counted != gone {
		return fmt.Errorf("%d pieces are gone, %d are counted", gone, counted)
	}
	for class := 1; class < classCount; class++ {
		if err := h.checkClass(n, uint8(class), &found[class]); err != nil {
			return fmt.Errorf("class %d: %w", class, err)
		}
	}
	return nil
}

// census counts the spans of a class, or the large ones.
type census struct{ spans, pages, listed, free int64 }

func (c *census) add(s *span) {
	c.spans++
	c.pages += int64(s.pages)
	c.free += int64(s.free)
	if s.free > 0 {
		c.listed++
	}
}

// checkEntries compares the page map with what it should hold for each page of
// a span, and the check words with the entries.
func (h *Heap) checkEntries(first, pages uint32, want func(index uint32) rseqcs.PageEntry) error {
	for i := range pages {
		if got := *h.pageMap.at(uintptr(first + i)); got != want(i) {
			return fmt.Errorf("page %d, number %d of a span: the page map says %#x, not %#x", first+i, i, got, want(i))
		}
		check := rseqcs.CheckWord(0)
		if class := want(i).Class(); class != 0 && class != classLarge {
			check = classTable.CheckOf(class, i, first+i, noOwner)
		}
		if got := *h.pageMap.checkAt(uintptr(first + i)); got != check {
			return fmt.Errorf("page %d, number %d of a span: the check word is %#x, not %#x", first+i, i, got, check)
		}
	}
	return nil
}

// checkSmall checks a span of objects: free = ones in the bitmap < perSpan,
// and no bit for an object that does not exist.
func (h *Heap) checkSmall(page uint32, s *span) error {
	c := &classes[s.class]
	if s.class == 0 || s.class >= classCount || s.pages != c.pages {
		return fmt.Errorf("page %d: a span of class %d has %d pages, not %d", page, s.class, s.pages, c.pages)
	}
	bitmap := h.spans.bitmap(page, c.perSpan)
	if at := bitmapPage(page); !h.spans.touched.has(at) {
		return fmt.Errorf("page %d: OS page %d of the bitmaps is not marked, and holds bits of it", page, at)
	}
	if ones := countOnes(bitmap); ones != s.free || ones >= c.perSpan {
		return fmt.Errorf("page %d: %d ones for %d free objects of %d", page, ones, s.free, c.perSpan)
	}
	if err := h.checkGone(page, s, bitmap); err != nil {
		return err
	}
	if rest := c.perSpan % 64; rest != 0 && bitmap[len(bitmap)-1]>>rest != 0 {
		return fmt.Errorf("page %d: a bit is set behind the last of %d objects", page, c.perSpan)
	}
	return h.checkEntries(page, s.pages, func(i uint32) rseqcs.PageEntry { return rseqcs.EntryOf(s.class, i) })
}

// checkTouched checks that the marked OS pages of the bitmaps are counted.
func (t *spanTable) checkTouched() error {
	marked := int64(0)
	for page := range t.bitmaps.Backed / osmem.PageSize() {
		if t.touched.has(page) {
			marked++
		}
	}
	if counted := t.touched.count.Load(); counted != marked {
		return fmt.Errorf("%d OS pages of the bitmaps are marked, %d are counted", marked, counted)
	}
	return nil
}

// checkGone checks that every object on a piece that is gone is free.
func (h *Heap) checkGone(page uint32, s *span, bitmap []uint64) error {
	c := &classes[s.class]
	gone := uint16(0)
	for i := range uintptr(c.pages * piecesPerPage) {
		if !h.spans.isGone(uintptr(page)*piecesPerPage + i) {
			continue
		}
		gone++
		first, end := i*pieceSize/uintptr(c.size), (i*pieceSize+pieceSize+uintptr(c.size)-1)/uintptr(c.size)
		if !allOnes(bitmap, first, min(end, uintptr(c.perSpan))) {
			return fmt.Errorf("page %d: piece %d is gone, and objects on it are in use", page, i)
		}
	}
	if gone != s.gone {
		return fmt.Errorf("page %d: %d pieces are gone, %d are counted", page, gone, s.gone)
	}
	return nil
}

// checkClass checks the central list and the transfer cache of a class.
func (h *Heap) checkClass(n *node, class uint8, found *census) error {
	c := &n.central[class]
	if c.spans != found.spans || c.given+found.free != found.spans*int64(classes[class].perSpan) {
		return fmt.Errorf("%d spans with %d free objects are counted as %d with %d objects given", found.spans, found.free, c.spans, c.given)
	}
	listed := int64(0)
	for list := range c.partial.lists {
		count, err := c.partial.lists[list].checkInvariants(&h.spans, func(page uint32, s *span) error {
			if s.state != spanSmall || s.class != class || s.free == 0 || c.partial.listOf(&h.spans, page, s.free) != list {
				return fmt.Errorf("page %d is in list %d: state %d, class %d, %d free objects", page, list, s.state, s.class, s.free)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if occupied := c.partial.occupied>>list&1 != 0; occupied != (count > 0) {
			return fmt.Errorf("list %d has %d spans, occupied: %t", list, count, occupied)
		}
		listed += count
	}
	if listed != found.listed {
		return fmt.Errorf("%d spans have free objects, %d are listed", found.listed, listed)
	}
	return h.checkTransfer(n, class)
}

// checkTransfer checks that a transfer cache is within its capacity, and that
// it holds objects of the class and node that are not free in their spans, each once.
func (h *Heap) checkTransfer(n *node, class uint8) error {
	objects := n.transfer[class].objects
	if len(objects) > transferCapacity(class) {
		return fmt.Errorf("%d objects in the transfer cache, more than %d", len(objects), transferCapacity(class))
	}
	once := make(map[unsafe.Pointer]bool, len(objects))
	for _, object := range objects {
		near := h.nodeOf(uint32(h.offsetOf(object)>>pageShift)) == n
		if h.ClassAt(object) != class || once[object] || h.isFree(object) || !near {
			return fmt.Errorf("%p in the transfer cache: at an object of class %d, there twice: %t, free in its span: %t, of this node: %t",
				object, h.ClassAt(object), once[object], h.isFree(object), near)
		}
		once[object] = true
	}
	return nil
}

// isFree reports whether the bit of an object says that it is free in its span.
func (h *Heap) isFree(object unsafe.Pointer) bool {
	page := uint32(h.offsetOf(object) >> pageShift)
	page -= h.pageMap.at(uintptr(page)).Index()
	c := &classes[h.spans.at(page).class]
	index := uint32((uintptr(object) - uintptr(h.addressOf(page))) / uintptr(c.size))
	return h.spans.bitmap(page, c.perSpan)[index/64]&(1<<(index%64)) != 0
}

// checkInvariants checks the links of a list and, with check, its spans, and
// returns how many it has.
func (l *spanList) checkInvariants(t *spanTable, check func(page uint32, s *span) error) (count int64, err error) {
	before := uint32(0)
	for page := l.first; page != 0; page = t.at(page).next {
		s := t.at(page)
		if s.prev != before {
			return count, fmt.Errorf("page %d comes after %d in its list, but says after %d", page, before, s.prev)
		}
		if err := check(page, s); err != nil {
			return count, err
		}
		before = page
		count++
	}
	return count, nil
}

// checkInvariants checks that every span is in the list of its length, or in the tree,
// which lists are said to be occupied, and the order of the tree. It returns how many
// spans there are.
func (b *bins) checkInvariants(t *spanTable) (count int64, err error) {
	if count, err = b.long.check(t, b.long.root, func(uint32) bool { return true }); err != nil {
		return count, err
	}
	for bin := range b.lists {
		n, err := b.lists[bin].checkInvariants(t, func(page uint32, s *span) error {
			if s.state != spanFree || int(s.pages-1) != bin {
				return fmt.Errorf("page %d, a span of %d pages in state %d, is in bin %d", page, s.pages, s.state, bin)
			}
			return nil
		})
		if err != nil {
			return count, err
		}
		if occupied := b.occupied[bin/64]&(1<<(bin%64)) != 0; occupied != (n > 0) {
			return count, fmt.Errorf("bin %d has %d spans, occupied: %t", bin, n, occupied)
		}
		count += n
	}
	return count, nil
}

// check checks a part of the tree, all spans of which are where inOrder wants them, and
// returns how many these are.
func (b *sizeTree) check(t *spanTable, page uint32, inOrder func(page uint32) bool) (count int64, err error) {
	if page == 0 {
		return 0, nil
	}
	s := t.at(page)
	if s.state != spanFree || s.pages <= exactBins || !inOrder(page) {
		return 0, fmt.Errorf("page %d, a span of %d pages in state %d, is in the wrong place of the tree", page, s.pages, s.state)
	}
	for _, child := range []uint32{s.prev, s.next} {
		if child != 0 && priority(child) > priority(page) {
			return 0, fmt.Errorf("page %d stands below page %d, in spite of its priority", child, page)
		}
	}
	smaller, err := b.check(t, s.prev, func(child uint32) bool { return inOrder(child) && t.before(child, s.pages, page) })
	if err != nil {
		return 0, err
	}
	larger, err := b.check(t, s.next, func(child uint32) bool { return inOrder(child) && !t.before(child, s.pages, page) })
	return smaller + larger + 1, err
}

// checkSpans walks over all pages below top and checks the equations of pageHeap and
// of its free spans, and that no two of these are neighbours.
func (h *pageHeap) checkSpans() error {
	var used, resident, freeSpans int64
	var inUse []uint16 // of each region
	if h.huge != nil {
		inUse = make([]uint16, len(h.huge.list))
	}
	afterFree, refused := false, int64(0)
	page := h.first
	for page < h.top {
		s := h.spans.at(page)
		head := h.spans.at(page + s.pages - 1).head
		switch {
		case s.pages == 0 || page+s.pages > h.top:
			return fmt.Errorf("page %d: a span of %d pages below %d", page, s.pages, h.top)
		case s.state != spanFree && head != 0:
			return fmt.Errorf("page %d: a span in use whose last page names %d as head", page, head)
		case s.state != spanFree:
			used += int64(s.pages)
			for i := range s.pages {
				if h.huge != nil {
					inUse[h.huge.of(page+i)]++
				}
			}
		case s.kept && (h.huge == nil || s.resident == 0 || s.stuck):
			return fmt.Errorf("page %d: free and kept, %d pages resident, stuck: %t", page, s.resident, s.stuck)
		case head != page || s.resident > s.pages:
			return fmt.Errorf("page %d: free, %d of %d pages resident, head %d", page, s.resident, s.pages, head)
		case h.spans.residentIn(page, s.pages) != s.resident:
			return fmt.Errorf("page %d: free, %d of %d pages are not bare, %d are counted", page, h.spans.residentIn(page, s.pages), s.pages, s.resident)
		case afterFree:
			return fmt.Errorf("page %d: free, and so is the span before", page)
		default:
			freeSpans++
			if err := h.checkMarks(page, s); err != nil {
				return err
			}
			refused += int64(h.spans.refusedIn(page, s.pages))
			resident += int64(s.resident)
		}
		afterFree = s.state == spanFree
		page += s.pages
	}
	if page != h.top || used != h.used || resident != h.resident {
		return fmt.Errorf("%d pages used and %d resident up to page %d are counted as %d and %d up to %d", used, resident, page, h.used, h.resident, h.top)
	}
	if refused != h.refused {
		return fmt.Errorf("%d pages are refused, %d are counted", refused, h.refused)
	}
	for number, count := range inUse {
		if got := h.huge.list[number].used; got != count {
			return fmt.Errorf("region %d: %d pages in use are counted as %d", number, count, got)
		}
	}
	binned := int64(0)
	for _, b := range []*bins{&h.backed, &h.kept, &h.bare} {
		count, err := b.checkInvariants(h.spans)
		if err != nil {
			return err
		}
		binned += count
	}
	if binned != freeSpans {
		return fmt.Errorf("%d free spans, %d in the bins", freeSpans, binned)
	}
	return nil
}

// checkMarks checks that the candidates of a free span can be found, and that it is stuck
// only without.
func (h *pageHeap) checkMarks(first uint32, s *span) error {
	for page := first; page < first+s.pages; page++ {
		mark, group := *h.spans.goneAt(page), page>>groupShift
		if mark&refused != 0 && (!s.refused || mark&bare == bare) {
			return fmt.Errorf("page %d: marked as refused, %#x, in a span that has none of these: %t", page, mark, !s.refused)
		}
		if !h.spans.isCandidate(page) {
			continue
		}
		if _, ok := h.spans.candidates.last(group, group+1); s.stuck || !ok {
			return fmt.Errorf("page %d: a candidate in a span that is stuck: %t, its group is marked: %t", page, s.stuck, ok)
		}
	}
	return nil
}

// checkCharged checks the equation of Budget for a node whose own heap has so many pages
// to charge.
func (b *Budget) checkCharged(own int64) error {
	if charged := b.charged.Load(); charged > b.limit || charged < own || charged > own && b.Below() == 0 {
		return fmt.Errorf("%d pages are charged as %d, the limit is %d", own, charged, b.limit)
	}
	return nil
}
