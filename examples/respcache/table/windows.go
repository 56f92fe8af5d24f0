package table

import (
	"cmp"
	"slices"
)

// window is what lies in windowBytes of the address space.
type window struct {
	number  uintptr // address / windowBytes
	bytes   int64   // of entries that start in it
	entries int64
	ages    int64 // sum over the entries of the milliseconds since their last use
}

func (w *window) meanAge() int64 { return w.ages / w.entries }

// emptyWindows evicts whole windows until attempt succeeds. Each round begins
// with a Trim: objects that wait in the allocator's caches keep their spans from
// being used for another size, and what is charged after it is in use, so the
// difference to the limit is what has to be evicted.
//
// All rounds together evict at most evictionBound: entries are worth more than
// an operation that does not fit after that.
func (t *Table) emptyWindows(attempt func() (need int, err error)) error {
	t.emptying.Lock()
	defer t.emptying.Unlock()
	evicted := int64(0)
	for round := 0; round < maxWindowRounds && t.stopped.Err() == nil; round++ {
		if _, err := t.memory.Trim(t.stopped); err != nil && t.stopped.Err() == nil {
			return err
		}
		need, err := attempt() // the goroutine before may have made room enough
		if err == nil || !lacksMemory(err) {
			return err
		}
		lacking, bound := t.lacking(need), t.evictionBound(need)
		if evicted+lacking > bound {
			break
		}
		most := bound - evicted
		target := min(most, max(lacking, max(t.limit/windowShare, windowBytes)<<round))
		freed := t.evictWindows(lacking, target)
		if freed == 0 {
			break
		}
		evicted += freed
	}
	return ErrOutOfMemory
}

// lacking is how many bytes must be evicted for an operation that needs need
// bytes, after a Trim.
func (t *Table) lacking(need int) int64 {
	if t.limit == 0 { // the system has no memory
		return int64(need)
	}
	return max(0, t.memory.Stats().Charged+int64(need)-t.limit)
}

// evictionBound is the most bytes that an operation of need bytes may evict.
func (t *Table) evictionBound(need int) int64 {
	return evictionFactor*int64(need) + max(t.limit/evictionShare, minEvictionBound)
}

// evictWindows empties the windows used least of late until target bytes of
// entries are evicted, and returns how many were. It evicts nothing if all
// entries together are fewer than lacking bytes.
func (t *Table) evictWindows(lacking, target int64) (freed int64) {
	condemned := make(map[uintptr]bool)
	chosen := int64(0)
	for _, w := range t.windowsByAge() {
		if chosen >= target {
			break
		}
		condemned[w.number] = true
		chosen += w.bytes
	}
	if chosen < lacking {
		return 0
	}
	for i := range t.shards {
		if t.stopped.Err() != nil {
			break
		}
		s := &t.shards[i]
		s.mu.Lock()
		n, bytes := s.removeIf(func(e *entry) bool { return condemned[windowOf(e)] })
		s.evicted += int64(n)
		freed += int64(bytes)
		s.mu.Unlock()
	}
	return freed
}

// windowsByAge returns the windows that hold entries, those first whose entries
// have been idle longest on average.
func (t *Table) windowsByAge() []*window {
	byNumber := make(map[uintptr]*window)
	now := t.nowMillis()
	for i := range t.shards {
		if t.stopped.Err() != nil {
			break
		}
		s := &t.shards[i]
		s.mu.Lock()
		s.each(func(e *entry) {
			number := windowOf(e)
			w := byNumber[number]
			if w == nil {
				w = &window{number: number}
				byNumber[number] = w
			}
			w.entries++
			w.bytes += int64(e.capacity)
			w.ages += now - e.accessedMillis
		})
		s.mu.Unlock()
	}
	sorted := make([]*window, 0, len(byNumber))
	for _, w := range byNumber {
		sorted = append(sorted, w)
	}
	slices.SortFunc(sorted, func(a, b *window) int {
		return cmp.Or(cmp.Compare(b.meanAge(), a.meanAge()), cmp.Compare(a.number, b.number))
	})
	return sorted
}

func windowOf(e *entry) uintptr { return e.address() / windowBytes }
