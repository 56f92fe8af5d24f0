package arena

// sizeTree is a treap of free spans, ordered by length and then by address: finding,
// inserting and removing take O(log n) steps for n spans, whatever their lengths. The
// links of a span's record are its children: prev the smaller, next the larger one.
//
//	key of prev's tree < key < key of next's tree
//	priority of a child <= priority
type sizeTree struct{ root uint32 }

// priority returns a number that looks random and depends on the page alone.
func priority(page uint32) uint32 {
	page = (page ^ page>>16) * 0x7feb352d
	page = (page ^ page>>15) * 0x846ca68b
	return page ^ page>>16
}

// before reports whether the span at page comes before the key of the given length and
// address.
func (t *spanTable) before(page, pages, address uint32) bool {
	length := t.at(page).pages
	return length < pages || length == pages && page < address
}

func (b *sizeTree) insert(t *spanTable, page uint32) {
	s := t.at(page)
	link := &b.root
	for at := *link; at != 0 && priority(at) >= priority(page); at = *link {
		if t.before(at, s.pages, page) {
			link = &t.at(at).next
		} else {
			link = &t.at(at).prev
		}
	}
	// What hangs here is split into what comes before the span and what comes after.
	rest := *link
	*link = page
	smaller, larger := &s.prev, &s.next
	for rest != 0 {
		if t.before(rest, s.pages, page) {
			*smaller = rest
			smaller = &t.at(rest).next
			rest = *smaller
		} else {
			*larger = rest
			larger = &t.at(rest).prev
			rest = *larger
		}
	}
	*smaller, *larger = 0, 0
}

// remove takes out a span that is in the tree.
func (b *sizeTree) remove(t *spanTable, page uint32) {
	s := t.at(page)
	link := &b.root
	for *link != page {
		if t.before(*link, s.pages, page) {
			link = &t.at(*link).next
		} else {
			link = &t.at(*link).prev
		}
	}
	smaller, larger := s.prev, s.next
	for smaller != 0 && larger != 0 {
		if priority(smaller) >= priority(larger) {
			*link = smaller
			link = &t.at(smaller).next
			smaller = *link
		} else {
			*link = larger
			link = &t.at(larger).prev
			larger = *link
		}
	}
	*link = smaller | larger
	s.next, s.prev = 0, 0
}

// atLeast returns the first span that does not come before the key of the given length
// and address, or 0.
func (b *sizeTree) atLeast(t *spanTable, pages, address uint32) (found uint32) {
	for at := b.root; at != 0; {
		if t.before(at, pages, address) {
			at = t.at(at).next
		} else {
			found, at = at, t.at(at).prev
		}
	}
	return found
}

// below returns the last span that comes before the key, or 0.
func (b *sizeTree) below(t *spanTable, pages, address uint32) (found uint32) {
	for at := b.root; at != 0; {
		if t.before(at, pages, address) {
			found, at = at, t.at(at).next
		} else {
			at = t.at(at).prev
		}
	}
	return found
}

// last returns the longest span, or 0.
func (b *sizeTree) last(t *spanTable) (last uint32) {
	for at := b.root; at != 0; at = t.at(at).next {
		last = at
	}
	return last
}
