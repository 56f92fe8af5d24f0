package table

import (
	"math/bits"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// grow asks for an index twice as long. Under memory pressure it is refused;
// then the chains get longer instead, and it is time to ask again when there is
// an eighth more.
func (s *shard) grow() {
	s.growAt = s.count + s.count/8 + 1
	if s.previous == nil {
		_ = s.resize(2 * len(s.chains)) // refused: see above
	}
}

// shrink replaces an index that is mostly empty by one of two to four chains per
// entry.
func (s *shard) shrink() {
	if s.previous == nil && len(s.chains) > minChains && s.count*shrinkShare < len(s.chains) {
		_ = s.resize(max(minChains, 2<<bits.Len(uint(s.count)))) // refused: the longer one serves as well
	}
}

// resize starts to move the entries to an array of length chains, and changes
// nothing if the allocator has no room for it. No other resize is under way.
func (s *shard) resize(length int) error {
	chains, err := alloc.MakeSlice[uintptr](s.memory, length, length)
	if err != nil {
		return err
	}
	s.previous, s.chains, s.moved = s.chains, chains, 0
	s.growAt = length
	s.sweepAt = 0
	return nil
}

// moveChains moves up to n chains of the previous array and frees it when the
// last is moved. The chains of the new array need no search for equal keys: a
// key is in one chain only.
func (s *shard) moveChains(n int) {
	if s.previous == nil {
		return
	}
	for ; n > 0 && s.moved < len(s.previous); n-- {
		address := s.previous[s.moved]
		s.previous[s.moved] = 0
		s.moved++
		for address != 0 {
			e := entryAt(address)
			address = e.next
			s.push(&s.chains[e.hash&uint64(len(s.chains)-1)], e)
		}
	}
	if s.moved == len(s.previous) {
		alloc.FreeSlice(s.memory, s.previous)
		s.previous = nil
	}
}
