package arena

import (
	"math/bits"
	"slices"
)

// fullness holds the spans of a class that have free objects, in lists by their
// number. A bit in occupied says that a list is not empty.
type fullness struct {
	lists    [fullnessLists]spanList
	occupied uint8
	cursors  []*cursor // of the walks under way
}

// cursor is where a walk over the spans of a class goes on that gives up the central list's
// lock now and then: next is in a list, or 0. Nothing that the walk has seen of a span
// before holds when it has the lock again.
type cursor struct {
	next  uint32
	moved bool // spans were filed meanwhile: the walk may have missed some
}

const fullnessLists = 8

// listScale is 2^listShift * fullnessLists / (objects in a span + 1), rounded up, by class:
// the product with a number of free objects, shifted, is that of the exact division, as
// long as both numbers multiplied are below 2^listShift.
var listScale = func() (scale [classCount]uint32) {
	for i := range classes {
		scale[i] = (fullnessLists<<listShift + classes[i].perSpan) / (classes[i].perSpan + 1)
	}
	return scale
}()

const listShift = 22

// listOf returns the list of a span with so many free objects: the fullest spans
// are in the first.
func (f *fullness) listOf(t *spanTable, page, free uint32) int {
	return int(free * listScale[t.at(page).class] >> listShift)
}

// push files a span.
func (f *fullness) push(t *spanTable, page uint32) {
	list := f.listOf(t, page, t.at(page).free)
	for _, c := range f.cursors {
		c.moved = true
	}
	f.lists[list].push(t, page)
	f.occupied |= 1 << list
}

// remove takes a span out that was filed with so many free objects.
func (f *fullness) remove(t *spanTable, page, free uint32) {
	list := f.listOf(t, page, free)
	for _, c := range f.cursors {
		if c.next == page {
			c.next = t.at(page).next
		}
	}
	f.lists[list].remove(t, page)
	if f.lists[list].first == 0 {
		f.occupied &^= 1 << list
	}
}

// refile moves a span whose number of free objects has changed.
func (f *fullness) refile(t *spanTable, page, before uint32) {
	if f.listOf(t, page, before) != f.listOf(t, page, t.at(page).free) {
		f.remove(t, page, before)
		f.push(t, page)
	}
}

// fullest returns a span of the first list that has one, or 0.
func (f *fullness) fullest() uint32 {
	if f.occupied == 0 {
		return 0
	}
	return f.lists[bits.TrailingZeros8(f.occupied)].first
}

// walk returns a cursor, at no span yet, for endWalk to take back.
func (f *fullness) walk() *cursor {
	c := new(cursor)
	f.cursors = append(f.cursors, c)
	return c
}

func (f *fullness) endWalk(c *cursor) {
	f.cursors = slices.DeleteFunc(f.cursors, func(other *cursor) bool { return other == c })
}
