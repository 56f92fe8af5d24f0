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

// emptyWindows evicts whole windows, more with each round, until attempt
// succeeds. Each round ends with a Trim, because objects that wait in the
// allocator's caches keep their spans from being used for another size.
func (t *Table) emptyWindows(attempt func() (need int, err error)) error {
	t.emptying.Lock()
	defer t.emptying.Unlock()
	need, err := attempt() // the goroutine before may have made room enough
	for round := 0; err != nil && lacksMemory(err); round++ {
		if round == maxWindowRounds || t.stopped.Err() != nil {
			return ErrOutOfMemory
		}
		target := max(4*int64(need), t.limit/windowShare, windowBytes) << round
		entries := t.evictWindows(target)
		if _, trimErr := t.memory.Trim(t.stopped); trimErr != nil && t.stopped.Err() == nil {
			return trimErr
		}
		need, err = attempt()
		if entries == 0 && err != nil && lacksMemory(err) {
			return ErrOutOfMemory
		}
	}
	return err
}

// evictWindows empties the windows used least of late, target bytes of address
// space in all, and returns the number of entries evicted.
func (t *Table) evictWindows(target int64) (entries int) {
	condemned := make(map[uintptr]bool)
	for _, w := range t.windowsByAge() {
		if target <= 0 {
			break
		}
		condemned[w.number] = true
		target -= max(w.bytes, windowBytes)
	}
	for i := range t.shards {
		if t.stopped.Err() != nil {
			break
		}
		s := &t.shards[i]
		s.mu.Lock()
		n, _ := s.removeIf(func(e *entry) bool { return condemned[windowOf(e)] })
		s.evicted += int64(n)
		entries += n
		s.mu.Unlock()
	}
	return entries
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
