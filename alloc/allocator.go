package alloc

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// Options of New. The zero value is good for most programs.
type Options struct {
	// Name appears in errors and in /proc/self/maps. Default: "alloc".
	Name string

	// Limit bounds the memory behind blocks in bytes: what the program has, what
	// the caches hold, and free pages that were not returned to the system. It is
	// rounded down to pages of 8 KiB. Tables and the magazines' own memory come
	// on top (Stats.Metadata). Default: none. Limit: at least 64 KiB.
	Limit int64

	// ReleaseDelay is after what time memory that is free goes back to the system,
	// by a goroutine that exists while there is any: free blocks and pages that
	// nobody needed for so long. Default: 1 second. Negative: never, only Trim and
	// Limit return memory. Limit: at least 10 ms.
	ReleaseDelay time.Duration

	// Reserve is how much address space blocks can ever take, in bytes; where the
	// system refuses so much it is halved until it fits. Addresses cost no memory.
	// Default: four times the machine's memory, at least 16 GiB, and at most a
	// quarter of RLIMIT_AS. Limits: 16 MiB to 4 TiB. (Where addresses have 32
	// bits: 512 MiB is default and limit.)
	Reserve int64
}

const (
	minLimit            = 64 << 10 // bytes, of Options.Limit
	defaultReleaseDelay = time.Second
	minReleaseDelay     = 10 * time.Millisecond
)

// Allocator hands out memory outside of the Go heap. All methods may be called
// from any goroutine at any time, but for Close.
type Allocator struct {
	heap    arena.Heap // what its fast path reads comes first
	name    string
	closed  bool
	forever bool // Default's
}

// New returns an allocator of its own: its blocks, caches and limit are shared
// with no other. It takes address space and a few pages of memory, which Close
// gives back.
func New(o Options) (*Allocator, error) {
	a := &Allocator{name: o.Name}
	if a.name == "" {
		a.name = "alloc"
	}
	if o.Limit != 0 && o.Limit < minLimit {
		return nil, fmt.Errorf("alloc: Options.Limit is %d bytes, at least %d are needed", o.Limit, minLimit)
	}
	delay := o.ReleaseDelay
	if delay == 0 {
		delay = defaultReleaseDelay
	}
	if delay > 0 && delay < minReleaseDelay {
		return nil, fmt.Errorf("alloc: Options.ReleaseDelay is %v, at least %v are needed", delay, minReleaseDelay)
	}
	reserve := o.Reserve
	if reserve == 0 {
		reserve = defaultReserve()
	}
	if err := a.heap.Open(a.name, reserve, o.Limit, a.slow()); err != nil {
		return nil, fmt.Errorf("alloc: %s: %w", a.name, err)
	}
	if delay > 0 && osmem.CanRelease {
		a.heap.ReleaseAfter(delay)
	}
	return a, nil
}

// slow returns what serves the calls that the sections cannot.
func (a *Allocator) slow() rseqcs.Slow {
	return rseqcs.Slow{
		Alloc:       func(_ *rseqcs.Blocks, n int) ([]byte, error) { return a.allocSlow(n, false) },
		AllocZeroed: func(_ *rseqcs.Blocks, n int) ([]byte, error) { return a.allocSlow(n, true) },
		Free:        func(_ *rseqcs.Blocks, b []byte) { a.freeSlow(b) },
	}
}

// defaultReserve returns four times the memory of the machine in bytes, a power
// of two: room for blocks that are freed in an unlucky order. Of a bounded
// address space it leaves three quarters to others.
func defaultReserve() int64 {
	reserve := min(int64(16<<30), arena.MaxReserve)
	for reserve < 4*machineMemory() && reserve < arena.MaxReserve {
		reserve *= 2
	}
	if bound := addressSpace(); bound > 0 {
		reserve = min(reserve, max(bound/4, arena.MinReserve))
	}
	return reserve
}

var defaultAllocator = sync.OnceValue(func() *Allocator {
	a, err := New(Options{Name: "default"})
	if err != nil {
		panic(err) // not even 16 MiB of addresses: there is nothing to go on with
	}
	a.forever = true
	return a
})

// Default returns the allocator that the whole process shares. It has no limit
// and cannot be closed. The first call makes it, and panics if the system
// refuses 16 MiB of address space.
func Default() *Allocator { return defaultAllocator() }

// Close gives all memory back to the system, blocks in use too: reading one of
// them afterwards is a fault. No other call of this allocator may run at the
// same time. Calls that come later return ErrClosed, and a Free panics.
func (a *Allocator) Close() error {
	switch {
	case a.forever:
		return errors.New("alloc: the default allocator cannot be closed")
	case a.closed:
		return fmt.Errorf("alloc: %s: %w", a.name, ErrClosed)
	}
	a.closed = true
	if err := a.heap.Close(); err != nil {
		return fmt.Errorf("alloc: %s: %w", a.name, err)
	}
	return nil
}
