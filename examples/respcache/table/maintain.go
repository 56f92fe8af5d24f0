package table

// Maintain does what no operation does: it removes entries past their expiry
// time that nobody asks for, and fits the indexes to the number of entries. The
// owner calls it a few times a second.
func (t *Table) Maintain() {
	now := t.nowMillis()
	for i := range t.shards {
		if t.stopped.Err() != nil {
			return
		}
		s := &t.shards[i]
		s.mu.Lock()
		s.moveChains(max(minChainsMoved, len(s.previous)/movedShare))
		s.shrink()
		s.mu.Unlock()
		for range maxSweeps {
			s.mu.Lock()
			again := s.sweep(now)
			s.mu.Unlock()
			if !again {
				break
			}
		}
	}
}

// sweep removes expired entries from the next part of the index, and reports
// whether there were so many that the part after it is worth the look.
func (s *shard) sweep(nowMillis int64) (again bool) {
	if s.expiring == 0 {
		return false
	}
	dated, expired := 0, 0
	for range min(len(s.chains), max(minSweepChains, len(s.chains)/sweepShare)) {
		n, _ := s.removeFromChain(&s.chains[s.sweepAt], func(e *entry) bool {
			if e.expiryMillis != 0 {
				dated++
			}
			return e.expired(nowMillis)
		})
		expired += n
		s.sweepAt = (s.sweepAt + 1) & (len(s.chains) - 1)
	}
	s.expired += int64(expired)
	return expired*sweepAgainShare > dated
}
