package table

import (
	"sync"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// shard is a part of the table with a lock of its own.
//
//	count = entries reachable from chains and from previous[moved:]
//
// mu guards everything, the blocks included.
type shard struct {
	mu       sync.Mutex
	memory   *alloc.Allocator
	chains   []uintptr // off-heap; addresses of the first entries; a power of two long
	previous []uintptr // off-heap; the array that chains replaces, nil when all is moved
	moved    int       // chains of previous that have been moved

	count    int // entries
	expiring int // entries with an expiry time
	growAt   int // count at which a longer index is asked for
	sweepAt  int // chain at which the next sweep for expired entries starts

	hits, misses     int64
	expired, evicted int64

	_ [64]byte // keeps neighbours' locks on cache lines of their own
}

// find returns the entry of key and the link that refers to it, or nil.
func (s *shard) find(hash uint64, key []byte) (link *uintptr, found *entry) {
	link = s.chainOf(hash)
	for *link != 0 {
		e := entryAt(*link)
		if e.is(hash, key) {
			return link, e
		}
		link = &e.next
	}
	return nil, nil
}

// findBlock is find by address: the link to the entry at address, or nil if
// that entry is gone.
func (s *shard) findBlock(hash uint64, address uintptr) *uintptr {
	for link := s.chainOf(hash); *link != 0; link = &entryAt(*link).next {
		if *link == address {
			return link
		}
	}
	return nil
}

// chainOf returns the link to the first entry of hash's chain. While the index
// is being resized, a chain that was not moved yet is in the previous array with
// all its entries, the new ones among them, and a moved one in the new array.
func (s *shard) chainOf(hash uint64) *uintptr {
	if s.previous != nil {
		if i := int(hash & uint64(len(s.previous)-1)); i >= s.moved {
			return &s.previous[i]
		}
	}
	return &s.chains[hash&uint64(len(s.chains)-1)]
}

// insert adds e, whose key is not in the shard, and takes it over.
func (s *shard) insert(e *entry) {
	s.moveChains(chainsMovedPerOperation)
	s.push(s.chainOf(e.hash), e)
	s.count++
	if e.expiryMillis != 0 {
		s.expiring++
	}
	if s.count >= s.growAt {
		s.grow()
	}
}

func (s *shard) push(link *uintptr, e *entry) {
	e.next = *link
	*link = e.address()
}

// remove unlinks the entry that link refers to, frees its block and returns how
// many bytes that gives back.
func (s *shard) remove(link *uintptr) int {
	e := entryAt(*link)
	*link = e.next
	s.count--
	if e.expiryMillis != 0 {
		s.expiring--
	}
	freed := int(e.capacity)
	s.memory.Free(e.block())
	return freed
}

// replace puts e, which has the same key, in the place of the entry that link
// refers to, and frees the old one.
func (s *shard) replace(link *uintptr, e *entry) {
	old := entryAt(*link)
	e.next = old.next
	*link = e.address()
	s.expiring += expiringDelta(old.expiryMillis, e.expiryMillis)
	s.memory.Free(old.block())
}

func (s *shard) setExpiry(e *entry, expiryMillis int64) {
	s.expiring += expiringDelta(e.expiryMillis, expiryMillis)
	e.expiryMillis = expiryMillis
}

func expiringDelta(oldMillis, newMillis int64) int {
	switch {
	case oldMillis == 0 && newMillis != 0:
		return 1
	case oldMillis != 0 && newMillis == 0:
		return -1
	}
	return 0
}

// lookup is find for an operation at nowMillis: an entry past its expiry time
// is removed and not found.
func (s *shard) lookup(hash uint64, key []byte, nowMillis int64) (link *uintptr, found *entry) {
	link, found = s.find(hash, key)
	if found != nil && found.expired(nowMillis) {
		s.remove(link)
		s.expired++
		return nil, nil
	}
	return link, found
}

// pick returns an entry near a random place of the index, nil if it meets only
// empty chains there.
func (s *shard) pick(random uint64) *entry {
	if s.count == 0 {
		return nil
	}
	total := uint64(len(s.chains) + len(s.previous))
	start := random % total
	for probe := range min(total, maxProbes) {
		i := (start + probe) % total
		link := uintptr(0)
		if i < uint64(len(s.chains)) {
			link = s.chains[i]
		} else {
			link = s.previous[i-uint64(len(s.chains))]
		}
		if link != 0 {
			return entryInChain(link, random>>32)
		}
	}
	return nil
}

// entryInChain picks any entry of the chain that starts at address: the first
// ones alone would leave the rest of a long chain uncollected.
func entryInChain(address uintptr, random uint64) *entry {
	length := uint64(0)
	for at := address; at != 0; at = entryAt(at).next {
		length++
	}
	e := entryAt(address)
	for range random % length {
		e = entryAt(e.next)
	}
	return e
}

// removeIf removes the entries that condemned chooses and returns the number
// of them and the bytes given back.
func (s *shard) removeIf(condemned func(*entry) bool) (entries, bytes int) {
	for _, chains := range [2][]uintptr{s.chains, s.previous} {
		for i := range chains {
			n, freed := s.removeFromChain(&chains[i], condemned)
			entries += n
			bytes += freed
		}
	}
	return entries, bytes
}

func (s *shard) removeFromChain(link *uintptr, condemned func(*entry) bool) (entries, bytes int) {
	for *link != 0 {
		e := entryAt(*link)
		if condemned(e) {
			bytes += s.remove(link)
			entries++
		} else {
			link = &e.next
		}
	}
	return entries, bytes
}

// each calls visit for every entry.
func (s *shard) each(visit func(*entry)) {
	s.removeIf(func(e *entry) bool {
		visit(e)
		return false
	})
}
