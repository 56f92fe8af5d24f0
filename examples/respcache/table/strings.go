package table

import "strconv"

// Condition says when a Set takes place.
type Condition int

const (
	Always Condition = iota
	IfAbsent
	IfPresent
)

// SetOptions for Set. The zero value replaces whatever is there and leaves no
// expiry time.
type SetOptions struct {
	ExpiryMillis int64 // Unix time, 0 = never
	KeepExpiry   bool  // the key's expiry time stays as it was
	Condition    Condition
	// Previous, if not nil, is called once with the value before, if there is
	// one and Set does not fail; under the shard's lock, as the use of Get.
	Previous func(value []byte)
}

// Get calls use with the value of key and reports whether there is one. The
// value is valid until use returns; use must not call the table.
func (t *Table) Get(key []byte, use func(value []byte)) bool {
	return t.TryGet(key, func(value []byte) bool {
		use(value)
		return true
	})
}

// TryGet is Get with a use that may decline the value, because the space for it
// is too small: that counts neither as a lookup nor as a use.
func (t *Table) TryGet(key []byte, use func(value []byte) (taken bool)) bool {
	hash, now := t.hash(key), t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e := s.lookup(hash, key, now)
	if e == nil {
		s.misses++
		return false
	}
	if use(e.value()) {
		s.hits++
		e.accessedMillis = now
	}
	return true
}

// Set stores value under key and reports whether the condition held. On an
// error nothing has changed, except for what was evicted.
func (t *Table) Set(key, value []byte, o SetOptions) (stored bool, err error) {
	if len(key) > t.maxString || len(value) > t.maxString {
		return false, ErrTooLong
	}
	hash := t.hash(key)
	err = t.withRoom(func() (need int, err error) {
		stored, need, err = t.setOnce(hash, key, value, o)
		return need, err
	})
	return stored, err
}

func (t *Table) setOnce(hash uint64, key, value []byte, o SetOptions) (stored bool, need int, err error) {
	now := t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	link, old := s.lookup(hash, key, now)
	if (o.Condition == IfAbsent && old != nil) || (o.Condition == IfPresent && old == nil) {
		callWithValue(o.Previous, old)
		return false, 0, nil
	}
	expiry := o.ExpiryMillis
	if o.KeepExpiry && old != nil {
		expiry = old.expiryMillis
	}
	need = blockBytes(len(key), len(value))
	e := old
	if old == nil || !old.fits(need) {
		e, err = newEntry(s.memory, need, hash, key)
	}
	if err != nil && old != nil && need <= int(old.capacity) {
		e, err = old, nil // a smaller block is refused; the larger one serves as well
	}
	if err != nil {
		return false, need, err
	}
	callWithValue(o.Previous, old)
	e.setValue(value)
	e.accessedMillis = now
	s.settle(link, e, expiry)
	return true, need, nil
}

// settle makes e the entry of its key, with this expiry time. link refers to
// the key's entry before, e itself perhaps, and is nil if there was none.
func (s *shard) settle(link *uintptr, e *entry, expiryMillis int64) {
	switch {
	case link == nil:
		e.expiryMillis = expiryMillis
		s.insert(e)
	case *link == e.address():
		s.setExpiry(e, expiryMillis)
	default:
		e.expiryMillis = expiryMillis
		s.replace(link, e)
	}
}

func callWithValue(use func([]byte), e *entry) {
	if use != nil && e != nil {
		use(e.value())
	}
}

// Append adds suffix at the end of key's value, or stores it if there is none,
// and returns the length of the value. The expiry time stays.
func (t *Table) Append(key, suffix []byte) (valueLen int, err error) {
	if len(key) > t.maxString || len(suffix) > t.maxString {
		return 0, ErrTooLong
	}
	hash := t.hash(key)
	err = t.withRoom(func() (need int, err error) {
		valueLen, need, err = t.appendOnce(hash, key, suffix)
		return need, err
	})
	return valueLen, err
}

func (t *Table) appendOnce(hash uint64, key, suffix []byte) (valueLen, need int, err error) {
	now := t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	link, e := s.lookup(hash, key, now)
	if e == nil {
		need = blockBytes(len(key), len(suffix))
		if e, err = newEntry(s.memory, need, hash, key); err != nil {
			return 0, need, err
		}
		e.setValue(suffix)
		e.accessedMillis = now
		s.insert(e)
		return len(suffix), need, nil
	}
	valueLen = int(e.valueLen) + len(suffix)
	if valueLen > t.maxString {
		return 0, 0, ErrTooLong
	}
	need = blockBytes(len(key), valueLen)
	if need > int(e.capacity) {
		if e, err = s.enlarge(link, need); err != nil {
			return 0, need, err
		}
	}
	e.valueLen = uint32(valueLen)
	copy(e.value()[valueLen-len(suffix):], suffix)
	e.accessedMillis = now
	return valueLen, need, nil
}

// Increment adds delta to the integer that key's value spells, 0 if there is no
// value, and returns the sum. The expiry time stays.
func (t *Table) Increment(key []byte, delta int64) (sum int64, err error) {
	if len(key) > t.maxString {
		return 0, ErrTooLong
	}
	hash := t.hash(key)
	err = t.withRoom(func() (need int, err error) {
		sum, need, err = t.incrementOnce(hash, key, delta)
		return need, err
	})
	return sum, err
}

func (t *Table) incrementOnce(hash uint64, key []byte, delta int64) (sum int64, need int, err error) {
	now := t.nowMillis()
	s := t.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	link, e := s.lookup(hash, key, now)
	old := int64(0)
	if e != nil {
		var ok bool
		if old, ok = ParseInteger(e.value()); !ok {
			return 0, 0, ErrNotInteger
		}
	}
	sum = old + delta
	if (delta > 0 && sum < old) || (delta < 0 && sum > old) {
		return 0, 0, ErrOverflow
	}
	var digits [maxIntegerBytes]byte
	text := strconv.AppendInt(digits[:0], sum, 10)
	need = blockBytes(len(key), len(text))
	inserting := e == nil
	if inserting {
		e, err = newEntry(s.memory, need, hash, key)
	} else if need > int(e.capacity) {
		e, err = s.enlarge(link, need)
	}
	if err != nil {
		return 0, need, err
	}
	e.setValue(text)
	e.accessedMillis = now
	if inserting {
		s.insert(e)
	}
	return sum, need, nil
}

// enlarge makes the block of the entry that link refers to at least need bytes
// large, and half as large again where the allocator has room for it, so that
// appending byte by byte does not copy the value each time.
func (s *shard) enlarge(link *uintptr, need int) (*entry, error) {
	e := entryAt(*link)
	used := e.block()[:e.used()]
	block, err := s.memory.Realloc(used, need+need/2)
	if err != nil && lacksMemory(err) {
		block, err = s.memory.Realloc(used, need)
	}
	if err != nil {
		return nil, err
	}
	return s.relink(link, block), nil
}

// maxIntegerBytes is the length of the longest int64, -9223372036854775808.
const maxIntegerBytes = 20

// ParseInteger reads an int64 as strictly as Redis does: no plus sign, no
// leading zero, no space.
func ParseInteger(text []byte) (int64, bool) {
	if len(text) == 0 || len(text) > maxIntegerBytes {
		return 0, false
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, false
	}
	var digits [maxIntegerBytes]byte
	return n, string(strconv.AppendInt(digits[:0], n, 10)) == string(text)
}
