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

	// Limit bounds the memory behind blocks in bytes, together with that of all
	// children: what the program has, what the caches hold, and free pages that
	// were not returned to the system. It is rounded down to pages of 8 KiB, and never
	// exceeded. Tables and the magazines' own memory come on top (Stats.Metadata).
	// Before a call fails, what can be returned is looked for; where calls fail all
	// the time, a twentieth of the time goes into that, and the others fail at once.
	// Default: none.
	// Limit: at least 64 KiB. Blocks of a class come from spans of up to 256 KiB, so a limit
	// below a few of these has no room for blocks of some sizes.
	Limit int64

	// SoftLimit is from where on free memory is returned to the system without
	// delay, in bytes. Default: none. Limit: at least 64 KiB.
	SoftLimit int64

	// Reclaim is called when a limit, the allocator's own or one above, has no room
	// for so many bytes, before the call fails: a cache frees what it can do
	// without, and returns about how many bytes that were; 0 makes the call fail.
	// Of a limit that is shared, the functions on the way from the allocator up to it
	// are called, not those of its other children: a cache that is to give way to
	// them sets it where the limit is.
	// No lock is held meanwhile. It may be called by several goroutines at once, and
	// again by its own allocations. Default: none.
	Reclaim func(want int64) (freed int64)

	// ReleaseDelay is after what time memory that is free goes back to the system,
	// by a goroutine that exists while there is any: free blocks and pages that
	// were not needed for so long. Default: 1 second. Negative: never, only Trim and
	// Limit return memory. Limit: at least 10 ms. Free blocks
	// in the magazines of vCPUs that do not use them wait for a second at least.
	ReleaseDelay time.Duration

	// ReleaseRate is how much that goroutine returns in a second at the most, in bytes, as
	// long as no soft limit is exceeded: to return memory takes time of the CPUs, and to
	// need it again more. Default: no bound. Limit: at least 1 MiB.
	ReleaseRate int64

	// Retain is how much free memory may wait for that, in bytes: when a block above
	// 256 KiB is freed or shrunk, what is beyond goes back in that call. Negative: any.
	// Default: 64 MiB, or an eighth of the pages in use if that is more; with a negative
	// ReleaseDelay any.
	Retain int64

	// Placement is on which NUMA nodes memory lies: Local, Interleave, or OnNode of a
	// number. A node that is full, or gone, is replaced by others. Stats tells what
	// has become of it (Placement and PlacementReason): a process with a memory policy
	// of its own, as under numactl, is not overruled by Local, and with Local a range
	// is split evenly among the nodes, if each gets at least 1 GiB, and no block can be
	// larger than its node's part. Default: that of the parent, Local without one.
	Placement Placement

	// HugePages is what is done about transparent huge pages: HugeSystem, HugeNever,
	// HugeAdvise or HugeCollapse. With the last two, free memory is given out and
	// returned so that huge pages stay whole. Stats tells what has become of it
	// (HugePages and HugePagesReason): where a limit counts, HugeAdvise is HugeCollapse,
	// and a kernel may have none. Default: that of the parent, HugeSystem without one.
	HugePages HugePages

	// Reserve is how much address space blocks can ever take, in bytes; where the
	// system refuses so much it is halved until it fits. Addresses cost no memory.
	// Default: the machine's memory times four, rounded up to a power of two (so less than
	// eight times), at least 16 GiB; four times the tightest limit, for a child that has
	// one. Both for each NUMA node that Local keeps apart, and at most a quarter of
	// RLIMIT_AS and four times RLIMIT_DATA. Limits: 16 MiB to 4 TiB; 512 MiB, which is the
	// default too, where addresses have 32 bits.
	Reserve int64
}

// Placement says on which NUMA nodes memory lies.
type Placement = arena.Placement

const (
	// Local: on the node of the thread that allocates.
	Local = arena.Local

	// Interleave: OS pages alternate between all nodes that have CPUs.
	Interleave = arena.Interleave
)

// HugePages says what is done about transparent huge pages.
type HugePages = arena.HugePages

const (
	// HugeSystem: as the machine is set, and none under a limit.
	HugeSystem = arena.HugeSystem

	// HugeNever: none.
	HugeNever = arena.HugeNever

	// HugeAdvise: the first byte that is touched of 2 MiB takes a huge page, in one page
	// fault.
	HugeAdvise = arena.HugeAdvise

	// HugeCollapse: 2 MiB that have come to be in use as a whole become a huge page, in
	// the background (Linux 6.1 and later; not with a negative ReleaseDelay).
	HugeCollapse = arena.HugeCollapse
)

// OnNode is the placement on the NUMA node with the given number, from 0 on.
func OnNode(number int) Placement { return arena.OnNode(number) }

const (
	defaultName         = "alloc"
	minLimit            = 64 << 10 // bytes, of Options.Limit
	defaultReleaseDelay = time.Second
	minReleaseDelay     = 10 * time.Millisecond
	minReleaseRate      = 1 << 20 // bytes in a second
)

// Allocator hands out memory outside of the Go heap. All methods may be called
// from any goroutine at any time, but for Close.
type Allocator struct {
	heap    arena.Heap // what its fast path reads comes first
	name    string
	options Options
	budget  *arena.Budget
	parent  *Allocator // nil for one of New
	waiting waitList
	caches  cacheList
	regions regionList
	grown   grownBlocks
	closed  bool
	left    bool // Close has not given all memory back
	forever bool // Default's
}

// New returns an allocator of its own: its blocks, caches and limit are shared
// with no other. It takes address space and a few pages of memory, which Close
// gives back. The collector never does, though the program drops the allocator: its
// blocks may be in use.
func New(o Options) (*Allocator, error) {
	if o.Name == "" {
		o.Name = defaultName
	}
	return newAllocator(o, nil)
}

func newAllocator(o Options, parent *Allocator) (*Allocator, error) {
	if o.ReleaseDelay == 0 {
		o.ReleaseDelay = defaultReleaseDelay
	}
	switch {
	case o.Limit != 0 && o.Limit < minLimit:
		return nil, fmt.Errorf("alloc: Options.Limit is %d bytes, at least %d are needed", o.Limit, minLimit)
	case o.SoftLimit != 0 && o.SoftLimit < minLimit:
		return nil, fmt.Errorf("alloc: Options.SoftLimit is %d bytes, at least %d are needed", o.SoftLimit, minLimit)
	case o.HugePages < HugeSystem || o.HugePages > HugeCollapse:
		return nil, fmt.Errorf("alloc: Options.HugePages is %d, there is no such policy", int(o.HugePages))
	case o.Placement < 0:
		return nil, errors.New("alloc: Options.Placement is OnNode of a number that no node has")
	case o.Reserve != 0 && (o.Reserve < arena.MinReserve || o.Reserve > arena.MaxReserve):
		return nil, fmt.Errorf("alloc: Options.Reserve is %d bytes, not in [%d, %d]", o.Reserve, int64(arena.MinReserve), int64(arena.MaxReserve))
	case o.ReleaseDelay > 0 && o.ReleaseDelay < minReleaseDelay:
		return nil, fmt.Errorf("alloc: Options.ReleaseDelay is %v, at least %v are needed", o.ReleaseDelay, minReleaseDelay)
	case o.ReleaseRate != 0 && o.ReleaseRate < minReleaseRate:
		return nil, fmt.Errorf("alloc: Options.ReleaseRate is %d bytes in a second, at least %d are needed", o.ReleaseRate, minReleaseRate)
	}
	a := &Allocator{name: o.Name, options: o, parent: parent}
	a.waiting.ended = make(chan struct{})
	var above *arena.Budget
	if parent != nil {
		above = parent.budget
	}
	a.budget = arena.NewBudget(o.Name, above, o.Limit, o.SoftLimit)
	reserve := o.Reserve
	if reserve == 0 {
		reserve = a.defaultReserve()
	}
	if err := a.heap.Open(arena.Config{Name: a.name, Reserve: reserve, Budget: a.budget, Placement: o.Placement, Huge: o.HugePages, Slow: a.slow()}); err != nil {
		return nil, a.failed("", err)
	}
	if osmem.CanRelease {
		a.release(o)
	}
	a.enroll()
	return a, nil
}

// release sets what the heap returns to the system unasked.
func (a *Allocator) release(o Options) {
	if o.ReleaseDelay > 0 {
		a.heap.ReleaseAfter(o.ReleaseDelay)
		if o.ReleaseRate > 0 {
			a.heap.ReleaseAtMost(o.ReleaseRate)
		}
	}
	if o.Retain > 0 || o.Retain == 0 && o.ReleaseDelay > 0 {
		a.heap.RetainAtMost(o.Retain)
	}
}

// slow returns what serves the calls that the sections cannot.
func (a *Allocator) slow() rseqcs.Slow {
	return rseqcs.Slow{
		Alloc:       func(_ *rseqcs.Blocks, n int) ([]byte, error) { return a.allocSlow(n, false) },
		AllocZeroed: func(_ *rseqcs.Blocks, n int) ([]byte, error) { return a.allocSlow(n, true) },
		Free:        func(_ *rseqcs.Blocks, b []byte) { a.freeSlow(b) },
	}
}

// defaultReserve returns the reservation of an allocator whose options name none.
func (a *Allocator) defaultReserve() int64 {
	limit, parts := int64(0), 1
	if a.parent != nil {
		limit = a.budget.Limit()
	}
	if a.options.Placement <= Local {
		parts = arena.Parts()
	}
	return reserveFor(limit, machineMemory(), int64(parts), addressSpace(), dataSpace())
}

// reserveFor returns at least four times what an allocator can ever use in bytes, room
// for blocks that are freed in an unlucky order: its limit if it is a child that has one,
// else the memory of the machine, for each of the parts. Of a bounded address space it
// leaves three quarters to others. 0 is no limit, unknown memory and no bound.
func reserveFor(limit, memory, parts, addresses, data int64) int64 {
	reserve := min(int64(16<<30), arena.MaxReserve)
	if limit > 0 {
		reserve = min(max(4*limit, arena.MinReserve), arena.MaxReserve)
	} else {
		for reserve < 4*memory && reserve < arena.MaxReserve {
			reserve *= 2
		}
	}
	reserve = min(arena.MaxReserve, reserve*parts)
	if addresses > 0 {
		reserve = min(reserve, max(addresses/4, arena.MinReserve))
	}
	if data > 0 && data < reserve/4 {
		// The page map counts towards the bound, and it grows with the reservation.
		reserve = max(4*data, arena.MinReserve)
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
// them afterwards is a fault. Its children must be closed before, and no other call of
// the allocator, its caches and its regions may run at the same time, but for calls of
// AllocWait: those that wait return ErrClosed.
//
// Later calls that return an error return ErrClosed, those of caches and regions too,
// and Free, FreeBatch and Put panic. None of them touches the addresses that the
// allocator had. Reset, Release and Rewind of a region and Close of a cache need not be
// called any more, and do no harm.
//
// If the system refuses to take memory back, that is the error, and Close may be
// called again for the rest.
func (a *Allocator) Close() error {
	switch {
	case a.budget.Below() > 0:
		return a.failed("", fmt.Errorf("%d children are open, to be closed first", a.budget.Below()))
	case a.forever:
		return errors.New("alloc: the default allocator cannot be closed")
	case a.closed && !a.left:
		return a.errClosed()
	}
	a.waiting.end()
	a.caches.retire()
	a.regions.retire()
	a.withdraw()
	a.closed = true
	err := a.heap.Close()
	a.left = err != nil
	if err != nil {
		return a.failed("", err)
	}
	return nil
}
