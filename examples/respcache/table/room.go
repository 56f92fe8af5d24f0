package table

import "math/rand/v2"

// WithRoom runs attempt, which allocates need bytes for something other than the
// table, and evicts entries while the allocator refuses them. Its error is
// ErrOutOfMemory then, or that of attempt.
func (t *Table) WithRoom(need int, attempt func() error) error {
	return t.withRoom(func() (int, error) { return need, attempt() })
}

// withRoom runs attempt, and while the allocator refuses what attempt needs,
// evicts entries and runs it again. attempt holds no lock when it returns, and
// has changed nothing when it returns an error.
func (t *Table) withRoom(attempt func() (need int, err error)) error {
	need, err := attempt()
	if err == nil || !lacksMemory(err) {
		return err
	}
	if t.limit > 0 && int64(need) > t.limit {
		return ErrOutOfMemory
	}
	evicted, bound := 0, evictionFactor*need+minEvictionBound
	for batch := 0; batch < maxBatches && evicted < bound; batch++ {
		if t.stopped.Err() != nil {
			return ErrOutOfMemory
		}
		freed := t.evictBatch(need)
		if freed == 0 {
			break
		}
		evicted += freed
		if need, err = attempt(); err == nil || !lacksMemory(err) {
			return err
		}
	}
	return t.emptyWindows(attempt)
}

// evictBatch evicts entries until need bytes are given back, within the bounds
// of limits.go, and returns how many were.
func (t *Table) evictBatch(need int) (freed int) {
	for entries := range maxBatchEntries {
		if freed >= need && (entries >= minBatchEntries || freed >= windowBytes) {
			break
		}
		n := t.evictOldest()
		if n == 0 {
			break
		}
		freed += n
	}
	return freed
}

// candidate is an entry that may be evicted, as seen a moment ago. Its shard
// was unlocked since, so the entry may be gone.
type candidate struct {
	shard          *shard
	address        uintptr
	hash           uint64
	accessedMillis int64
}

// evictOldest removes the entry that was used longest ago among a few random
// ones and returns the bytes given back, 0 if it found none.
func (t *Table) evictOldest() (freed int) {
	// Twice as many tries as samples: a shard may be empty at the place that was
	// picked, and the choice may be gone when it is to be evicted.
	for range 2 {
		oldest := t.sampleOldest()
		if oldest.shard == nil {
			continue
		}
		if freed = oldest.evict(); freed > 0 {
			return freed
		}
	}
	return 0
}

func (t *Table) sampleOldest() (oldest candidate) {
	now := t.nowMillis()
	for range t.samples {
		random := rand.Uint64()
		s := t.shardOf(random)
		s.mu.Lock()
		if e := s.pick(random); e != nil {
			accessed := e.accessedMillis
			if e.expired(now) {
				accessed = 0
			}
			if oldest.shard == nil || accessed < oldest.accessedMillis {
				oldest = candidate{s, e.address(), e.hash, accessed}
			}
		}
		s.mu.Unlock()
	}
	return oldest
}

// evict removes the entry if it is still there. Should another entry have taken
// its address and hash meanwhile, that one goes: a worse choice, not an error.
func (c candidate) evict() (freed int) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	link := c.shard.findBlock(c.hash, c.address)
	if link == nil {
		return 0
	}
	c.shard.evicted++
	return c.shard.remove(link)
}
