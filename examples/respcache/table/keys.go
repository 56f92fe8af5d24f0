package table

// Delete removes key and reports whether it was there.
func (t *Table) Delete(key []byte) bool {
	hash, now := t.hash(key), t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	link, e := s.lookup(hash, key, now)
	if e == nil {
		return false
	}
	s.remove(link)
	return true
}

// Exists reports whether key is there. It counts as a lookup, not as a use.
func (t *Table) Exists(key []byte) bool {
	_, found := t.Expiry(key)
	return found
}

// Expiry returns the Unix time in milliseconds at which key expires, 0 for
// never, and whether key is there. It counts as a lookup, not as a use.
func (t *Table) Expiry(key []byte) (expiryMillis int64, found bool) {
	hash, now := t.hash(key), t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e := s.lookup(hash, key, now)
	if e == nil {
		s.misses++
		return 0, false
	}
	s.hits++
	return e.expiryMillis, true
}

// SetExpiry makes key expire at the Unix time expiryMillis, 0 = never, and
// reports whether it did: key must be there and allow, if not nil, agree to the
// expiry time before. A time that is past removes the key.
func (t *Table) SetExpiry(key []byte, expiryMillis int64, allow func(beforeMillis int64) bool) bool {
	hash, now := t.hash(key), t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	link, e := s.lookup(hash, key, now)
	if e == nil || (allow != nil && !allow(e.expiryMillis)) {
		return false
	}
	if expiryMillis != 0 && expiryMillis <= now {
		s.remove(link)
		return true
	}
	s.setExpiry(e, expiryMillis)
	return true
}
