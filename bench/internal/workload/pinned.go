package workload

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
)

// pinnedPools is the fastest pool that Go allows without restartable sequences:
// each P has a stack of free blocks of every size class, and a goroutine is
// pinned to its P while it uses one. What a stack has too much goes to a list
// for all, half a stack at a time. Blocks are the Go heap's.
type pinnedPools struct {
	classes *classPools // for the table of classes only
	stacks  [][maxClasses]pinnedStack
	shared  [maxClasses]pinnedShared
}

const (
	pinnedKept   = 128 // blocks of a stack
	pinnedBatch  = pinnedKept / 2
	pinnedShares = 64 // batches of a class for all
)

// pinnedStack belongs to whoever is pinned to its P.
type pinnedStack struct {
	count  int
	blocks [pinnedKept]*byte
}

type pinnedShared struct {
	mutex   sync.Mutex
	batches []*[pinnedBatch]*byte
	spare   []*[pinnedBatch]*byte
	_       [64]byte
}

func newPinnedPools() (*pinnedPools, error) {
	classes, err := newClassPools()
	return &pinnedPools{classes: classes, stacks: make([][maxClasses]pinnedStack, runtime.GOMAXPROCS(0))}, err
}

func (p *pinnedPools) get(n int) []byte {
	if n > maxBlock {
		return make([]byte, n)
	}
	class := p.classes.class[(n+granule-1)/granule]
	stack := &p.stacks[procpin.Pin()][class]
	if stack.count > 0 {
		stack.count--
		first := stack.blocks[stack.count]
		procpin.Unpin()
		return unsafe.Slice(first, p.classes.size[class])[:n]
	}
	procpin.Unpin()
	return p.refill(class)[:n]
}

func (p *pinnedPools) put(b []byte) {
	if cap(b) > maxBlock {
		return
	}
	class := p.classes.class[cap(b)/granule]
	first := unsafe.SliceData(b)
	stack := &p.stacks[procpin.Pin()][class]
	if stack.count < pinnedKept {
		stack.blocks[stack.count] = first
		stack.count++
		procpin.Unpin()
		return
	}
	procpin.Unpin()
	p.spill(class, first)
}

// refill returns a block of a batch from the list for all and puts the others
// on the stack of the P that it runs on then; or a new block.
func (p *pinnedPools) refill(class uint8) []byte {
	shared := &p.shared[class]
	size := p.classes.size[class]
	shared.mutex.Lock()
	last := len(shared.batches) - 1
	if last < 0 {
		shared.mutex.Unlock()
		return make([]byte, size)
	}
	batch := shared.batches[last]
	shared.batches = shared.batches[:last]
	shared.mutex.Unlock()

	first := batch[0]
	rest := batch[1:]
	stack := &p.stacks[procpin.Pin()][class]
	taken := copy(stack.blocks[stack.count:], rest)
	stack.count += taken
	procpin.Unpin()
	// What has no room, since another goroutine filled the stack meanwhile, is
	// left to the collector.
	clear(batch[:])
	shared.mutex.Lock()
	shared.spare = append(shared.spare, batch)
	shared.mutex.Unlock()
	return unsafe.Slice(first, size)
}

// spill puts a block on the stack of the P that it runs on after moving half
// of it, if it is full, to the list for all.
func (p *pinnedPools) spill(class uint8, first *byte) {
	shared := &p.shared[class]
	var batch *[pinnedBatch]*byte
	shared.mutex.Lock()
	if last := len(shared.spare) - 1; last >= 0 {
		batch = shared.spare[last]
		shared.spare = shared.spare[:last]
	}
	shared.mutex.Unlock()
	if batch == nil {
		batch = &[pinnedBatch]*byte{}
	}
	stack := &p.stacks[procpin.Pin()][class]
	full := stack.count == pinnedKept
	if full {
		stack.count -= pinnedBatch
		copy(batch[:], stack.blocks[stack.count:])
	}
	stack.blocks[stack.count] = first
	stack.count++
	procpin.Unpin()

	shared.mutex.Lock()
	defer shared.mutex.Unlock()
	if full && len(shared.batches) < pinnedShares {
		shared.batches = append(shared.batches, batch)
		return
	}
	clear(batch[:]) // more than is kept: left to the collector
	shared.spare = append(shared.spare, batch)
}

// pinnedHeap is a pinned pool for each of this project's size classes.
type pinnedHeap struct{ pools *pinnedPools }

func (h pinnedHeap) alloc(n int) []byte { return h.pools.get(n) }
func (h pinnedHeap) free(b []byte)      { h.pools.put(b) }

func (h pinnedHeap) zalloc(n int) []byte {
	b := h.pools.get(n)
	clear(b)
	return b
}

func (h pinnedHeap) realloc(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	to := moved(h.pools.get(n), b)
	h.pools.put(b)
	return to
}

func openPinned(Shape) (opened, error) {
	pools, err := newPinnedPools()
	return opened{pinnedHeap{pools}, nothing}, err
}
