package alloc

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/internal/cgroup"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// opened are all allocators of the process that were not closed.
var opened struct {
	mu  sync.Mutex // Close waits for it, so that what is in all is alive under it
	all map[*Allocator]bool
}

func (a *Allocator) enroll() {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	if opened.all == nil {
		opened.all = make(map[*Allocator]bool)
	}
	opened.all[a] = true
}

func (a *Allocator) withdraw() {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	delete(opened.all, a)
}

// ownerOf returns the allocator in whose memory p lies, or nil.
func ownerOf(p unsafe.Pointer) *Allocator {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	for a := range opened.all {
		if a.heap.Owns(p) {
			return a
		}
	}
	return nil
}

// backedByAll returns what all allocators have backed in bytes: what is charged but
// for what has returned to the system.
func backedByAll() (bytes int64) {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	for a := range opened.all {
		if a.parent == nil { // those below are in its budget
			bytes += a.budget.Charged()
		}
		bytes -= a.heap.GoneCharged()
	}
	return bytes
}

// metadataOfAll returns what comes on top of that. It looks at every magazine.
func metadataOfAll() (bytes int64) {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	for a := range opened.all {
		footprint, _ := a.caches.sizes()
		bytes += a.heap.Metadata() + footprint
	}
	return bytes
}

// Shares of the total.
const (
	// spareShare is kept free for what comes between two looks, and for what no
	// count knows: the program's text, areas of threads, the kernel's tables. Of a
	// small total it is leastSpare, which these take at any size, or spareMost of it.
	spareShare, leastSpare, spareMost = 32, 8 << 20, 8
	// floorShare is what Go always gets. A limit below what is live makes the
	// collector run all the time, and gains nothing.
	floorShare = 8
	// Setting Go's limit stops the world for some 10 us, so small changes wait:
	// lower is for safety, and must be small against the spare; higher only saves
	// collections.
	lowerShare  = 256
	higherShare = 64
)

const (
	balancePeriod = 250 * time.Millisecond
	rareLooks     = 4       // every so many looks at what seldom changes, the cgroup and tables
	minTotal      = 8 << 20 // bytes
)

// balancer holds Go's limit at
//
//	total - off-heap - spare, at least total/floorShare, at most previous
type balancer struct {
	asked    int64  // bytes, 0 for none
	previous int64  // Go's limit without it
	root     string // of the files that say what the cgroup allows
	period   time.Duration

	total    int64
	applied  int64
	metadata int64
	changes  int // of Go's limit
}

var balancing atomic.Bool

// BalanceMemoryLimit keeps Go's memory and that of all allocators together within
// total bytes: four times a second it sets Go's limit (debug.SetMemoryLimit) to
// what the allocators leave of it, less a thirty-second as a reserve, or 8 MiB if that is
// more, but at most an eighth. The total is
// never more than what cgroup v2 allows the process (memory.max and memory.high,
// looked at every second); 0 stands for that, or for GOMEMLIMIT where that is less.
// Without any of them, and for a total below 8 MiB, it returns an error that says
// why.
//
// Go's limit is a soft one, and never set below an eighth of the total, so the
// allocators need limits of their own that leave Go what it needs, and a burst
// between two looks comes on top. GOMEMLIMIT stays an upper bound. Memory that is
// cached or kept by Region and Cache counts, the program's text and page cache do
// not.
//
// It runs until stop, which sets Go's limit back. Nobody else may set it meanwhile,
// and one call at a time is in force: another returns an error.
func BalanceMemoryLimit(total int64) (stop func(), err error) {
	b := balancer{asked: total, root: "/", period: balancePeriod}
	return b.start()
}

func (b *balancer) start() (stop func(), err error) {
	if !balancing.CompareAndSwap(false, true) {
		return nil, errors.New("alloc: BalanceMemoryLimit is in force already")
	}
	b.previous = debug.SetMemoryLimit(-1)
	b.applied = b.previous
	if err := b.findTotal(); err != nil {
		balancing.Store(false)
		return nil, fmt.Errorf("alloc: BalanceMemoryLimit: %w", err)
	}
	b.look(true)
	end, ended := make(chan struct{}), make(chan struct{})
	go b.run(end, ended)
	return sync.OnceFunc(func() {
		close(end)
		<-ended
		debug.SetMemoryLimit(b.previous)
		balancing.Store(false)
	}), nil
}

func (b *balancer) run(end, ended chan struct{}) {
	defer close(ended)
	ticker := time.NewTicker(b.period)
	defer ticker.Stop()
	for i := 1; ; i++ {
		select {
		case <-ticker.C:
			rare := i%rareLooks == 0
			if rare {
				b.findTotal() // if the limit is gone, or cannot be read, the last one stays
			}
			b.look(rare)
		case <-end:
			return
		}
	}
}

// findTotal sets total, or says why there is none.
func (b *balancer) findTotal() error {
	if b.asked < 0 || b.asked > 0 && b.asked < minTotal {
		return fmt.Errorf("a total of %d bytes, at least %s are needed", b.asked, humanize.IBytes(minTotal))
	}
	allowed, file, err := cgroup.Memory(b.root)
	total := cmp.Or(b.asked, b.previous)
	if err == nil && allowed < total {
		if total = allowed; total < minTotal {
			return fmt.Errorf("%s allows %s, at least %s are needed", file, humanize.IBytes(uint64(allowed)), humanize.IBytes(minTotal))
		}
	}
	if total == math.MaxInt64 {
		return fmt.Errorf("no total, no GOMEMLIMIT, and %w", err)
	}
	b.total = total
	return nil
}

// look sets Go's limit if it is far enough from where it should be.
func (b *balancer) look(rare bool) {
	if rare {
		b.metadata = metadataOfAll()
	}
	offHeap := backedByAll() + b.metadata
	if !osmem.CanRelease {
		offHeap = 0 // blocks are Go memory, which Go's limit counts
	}
	want := goLimit(b.total, offHeap, b.previous)
	if want == b.applied || want < b.applied && b.applied-want < b.total/lowerShare || want > b.applied && want-b.applied < b.total/higherShare {
		return
	}
	debug.SetMemoryLimit(want)
	b.applied = want
	b.changes++
}

// goLimit returns what Go may have in bytes beside so much off the heap.
func goLimit(total, offHeap, previous int64) int64 {
	spare := max(total/spareShare, min(leastSpare, total/spareMost))
	return min(max(total-offHeap-spare, total/floorShare), previous)
}
