package vcpu

import (
	"iter"
	"sync"
)

// shardPadding keeps neighbours apart, in bytes: two cache lines, since amd64
// fetches them in pairs.
const shardPadding = 128

type shard[T any] struct {
	value T
	_     [shardPadding]byte
}

// Sharded is one T for each arena id, on cache lines of its own. The zero value
// is ready. Its methods may be called from any goroutine; it must not be copied
// after the first.
type Sharded[T any] struct {
	once   sync.Once
	shards []shard[T]
}

func (s *Sharded[T]) ready() []shard[T] {
	s.once.Do(func() { s.shards = make([]shard[T], Max()) })
	return s.shards
}

// Get returns the T of the running thread's id. The thread may move on, and
// another goroutine may be given the same T meanwhile, so T must be safe for
// concurrent use (an atomic, or guarded by a lock that is nearly always free).
func (s *Sharded[T]) Get() *T { return &s.ready()[Current()].value }

// All yields every id and its T, in ascending order of the id.
func (s *Sharded[T]) All() iter.Seq2[int, *T] {
	return func(yield func(int, *T) bool) {
		shards := s.ready()
		for id := range shards {
			if !yield(id, &shards[id].value) {
				return
			}
		}
	}
}
