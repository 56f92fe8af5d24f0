package table

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

var (
	// ErrOutOfMemory: the entry does not fit under the allocator's limit, even
	// after evicting what could be evicted.
	ErrOutOfMemory = errors.New("table: out of memory")
	// ErrTooLong: a key or value is longer than Options.MaxStringBytes.
	ErrTooLong = errors.New("table: string exceeds maximum allowed size")
	// ErrNotInteger: the value is not the decimal form of an int64.
	ErrNotInteger = errors.New("table: value is not an integer or out of range")
	// ErrOverflow: the sum does not fit in an int64.
	ErrOverflow = errors.New("table: increment or decrement would overflow")
)

// Options for New.
type Options struct {
	// Memory holds keys, values and index. Required. Its limit is the table's.
	Memory *alloc.Allocator
	// LimitBytes is Memory's limit, 0 = none: the measure for how much is
	// evicted at once when sizes change.
	LimitBytes int64
	// Shards is rounded up to a power of two. Default: 8 per virtual CPU.
	Shards int
	// Samples is how many entries an eviction compares. Default: DefaultSamples.
	Samples int
	// MaxStringBytes is the longest key or value. Default and maximum: the
	// constant of that name.
	MaxStringBytes int
	// NowMillis tells the Unix time in milliseconds. Default: the system's clock.
	NowMillis func() int64
}

// Table is the hash table. All methods are safe for concurrent use; each one is
// atomic for its key.
type Table struct {
	memory    *alloc.Allocator
	limit     int64
	samples   int
	maxString int // bytes
	nowMillis func() int64
	stopped   context.Context // done after Stop
	stop      context.CancelFunc
	seed      maphash.Seed
	shards    []shard
	shardBits int
	emptying  sync.Mutex // one goroutine at a time empties windows; taken before any shard's lock
}

// New returns an empty table. The caller closes it before it closes o.Memory.
func New(o Options) (*Table, error) {
	if o.Shards == 0 {
		o.Shards = min(max(shardsPerVCPU*vcpu.Max(), minShards), maxShards)
	}
	if o.Samples == 0 {
		o.Samples = DefaultSamples
	}
	if o.MaxStringBytes <= 0 || o.MaxStringBytes > MaxStringBytes {
		o.MaxStringBytes = MaxStringBytes
	}
	if o.NowMillis == nil {
		o.NowMillis = func() int64 { return time.Now().UnixMilli() }
	}
	shardBits := bits.Len(uint(o.Shards - 1))
	t := &Table{
		memory:    o.Memory,
		limit:     o.LimitBytes,
		samples:   o.Samples,
		maxString: o.MaxStringBytes,
		nowMillis: o.NowMillis,
		seed:      maphash.MakeSeed(),
		shards:    make([]shard, 1<<shardBits),
		shardBits: shardBits,
	}
	t.stopped, t.stop = context.WithCancel(context.Background())
	for i := range t.shards {
		chains, err := alloc.MakeSlice[uintptr](o.Memory, minChains, minChains)
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("table: allocate the index of %d shards: %w", len(t.shards), err)
		}
		s := &t.shards[i]
		s.memory, s.chains, s.growAt = o.Memory, chains, minChains
	}
	return t, nil
}

// Stop ends what may take long, for a program that is about to end: Flush and
// Maintain return before they are done, and what needs eviction is refused.
func (t *Table) Stop() { t.stop() }

// Close frees all blocks. The table must not be used afterwards. A program that
// closes the allocator anyway need not close the table.
func (t *Table) Close() {
	t.stop()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.removeIf(func(*entry) bool { return true })
		alloc.FreeSlice(s.memory, s.chains)
		alloc.FreeSlice(s.memory, s.previous)
		s.chains, s.previous = nil, nil
		s.mu.Unlock()
	}
}

// Flush removes all entries and returns their memory to the system.
func (t *Table) Flush() {
	for i := range t.shards {
		if t.stopped.Err() != nil {
			return
		}
		s := &t.shards[i]
		s.mu.Lock()
		s.removeIf(func(*entry) bool { return true })
		s.mu.Unlock()
	}
	t.memory.Trim(t.stopped) // what the system refuses to take back is no error of Flush
}

func (t *Table) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

// shardOf returns the shard of a hash, by the bits that its index uses last.
func (t *Table) shardOf(hash uint64) *shard {
	return &t.shards[hash>>(64-t.shardBits)]
}

// Stats are sums over the shards, each read at a slightly different time.
type Stats struct {
	Keys, Expiring   int   // entries, and those with an expiry time
	Hits, Misses     int64 // lookups by reading operations
	Expired, Evicted int64 // entries removed
	IndexBytes       int64 // the arrays of chains
	Shards           int
}

// Stats returns the table's figures.
func (t *Table) Stats() Stats {
	sum := Stats{Shards: len(t.shards)}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum.Keys += s.count
		sum.Expiring += s.expiring
		sum.Hits += s.hits
		sum.Misses += s.misses
		sum.Expired += s.expired
		sum.Evicted += s.evicted
		sum.IndexBytes += int64(len(s.chains)+len(s.previous)) * int64(chainBytes)
		s.mu.Unlock()
	}
	return sum
}

// ResetStats sets the counters of Stats to zero, not the sizes.
func (t *Table) ResetStats() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.hits, s.misses, s.expired, s.evicted = 0, 0, 0, 0
		s.mu.Unlock()
	}
}

// Len returns the number of entries, those past their expiry time included
// until something meets them.
func (t *Table) Len() int {
	sum := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sum += s.count
		s.mu.Unlock()
	}
	return sum
}
