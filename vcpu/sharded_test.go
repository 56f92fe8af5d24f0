package vcpu

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestShardedZeroValue(t *testing.T) {
	var s Sharded[atomic.Int64]
	s.Get().Add(3)
	s.Get().Add(4)
	sum, next := int64(0), 0
	for id, value := range s.All() {
		if id != next {
			t.Errorf("id %d, want %d", id, next)
		}
		next++
		sum += value.Load()
	}
	if next != Max() || sum != 7 {
		t.Errorf("%d ids and a sum of %d, want %d and 7", next, sum, Max())
	}
}

func TestShardedAllStops(t *testing.T) {
	var s Sharded[int]
	seen := 0
	for range s.All() {
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("%d shards after a break at the first", seen)
	}
}

func TestShardedApart(t *testing.T) {
	checkApart[byte](t)
	checkApart[int64](t)
	checkApart[[100]byte](t)
	checkApart[[128]byte](t)
	checkApart[struct{}](t)
}

// checkApart checks that no byte of one shard is within two cache lines of the
// next shard.
func checkApart[T any](t *testing.T) {
	t.Helper()
	s := Sharded[T]{shards: make([]shard[T], 4)}
	s.once.Do(func() {})
	last := uintptr(0)
	for id, value := range s.All() {
		at := uintptr(unsafe.Pointer(value))
		if id > 0 && at-last < 128 {
			t.Errorf("%T: shard %d begins %d bytes behind the end of the one before", *value, id, at-last)
		}
		last = at + unsafe.Sizeof(*value)
	}
}

func TestShardedConcurrently(t *testing.T) {
	var s Sharded[struct {
		mu    sync.Mutex
		count int
	}]
	var all sync.WaitGroup
	const goroutines, each = 32, 1000
	for range goroutines {
		all.Go(func() {
			for range each {
				mine := s.Get()
				mine.mu.Lock()
				mine.count++
				mine.mu.Unlock()
			}
		})
	}
	all.Wait()
	sum := 0
	for _, value := range s.All() {
		sum += value.count
	}
	if sum != goroutines*each {
		t.Errorf("%d, want %d", sum, goroutines*each)
	}
}
