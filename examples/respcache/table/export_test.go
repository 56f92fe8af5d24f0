package table

import "fmt"

// CheckInvariants states what must hold of every shard between operations.
func (t *Table) CheckInvariants() error {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		err := s.checkInvariants(t, i)
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
	}
	return nil
}

func (s *shard) checkInvariants(t *Table, number int) error {
	count, expiring := 0, 0
	check := func(chains []uintptr, index int) error {
		for address := chains[index]; address != 0; {
			e := entryAt(address)
			switch {
			case e.hash != t.hash(e.key()):
				return fmt.Errorf("key %q has hash %x, want %x", e.key(), e.hash, t.hash(e.key()))
			case t.shardOf(e.hash) != &t.shards[number]:
				return fmt.Errorf("key %q is in the wrong shard", e.key())
			case int(e.hash&uint64(len(chains)-1)) != index:
				return fmt.Errorf("key %q is in chain %d, want %d", e.key(), index, e.hash&uint64(len(chains)-1))
			case e.used() > int(e.capacity):
				return fmt.Errorf("key %q uses %d of %d bytes", e.key(), e.used(), e.capacity)
			}
			count++
			if e.expiryMillis != 0 {
				expiring++
			}
			address = e.next
		}
		return nil
	}
	for i := range s.chains {
		if err := check(s.chains, i); err != nil {
			return err
		}
	}
	for i := range s.previous {
		if i < s.moved && s.previous[i] != 0 {
			return fmt.Errorf("chain %d of the previous index was moved and is not empty", i)
		}
		if err := check(s.previous, i); err != nil {
			return err
		}
	}
	if count != s.count || expiring != s.expiring {
		return fmt.Errorf("%d entries, %d with expiry, are reachable; counted are %d and %d", count, expiring, s.count, s.expiring)
	}
	return nil
}
