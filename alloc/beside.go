package alloc

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// besides are the magazines of an allocator's caches, which lie beside its own.
type besides struct {
	mu  sync.Mutex // what is in all is mapped while it is held
	all map[*rseqcs.Stack]bool
}

// beside is the magazines of one cache.
type beside struct {
	of    *besides
	stack *rseqcs.Stack
	shut  atomic.Bool
}

// add counts magazines in from now on.
func (b *besides) add(stack *rseqcs.Stack) *beside {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = make(map[*rseqcs.Stack]bool)
	}
	b.all[stack] = true
	return &beside{of: b, stack: stack}
}

func (b *besides) remove(stack *rseqcs.Stack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, stack)
}

// close empties the magazines for good. Calls that were about to use them may still
// look, so the addresses stay.
func (b *beside) close(give func(class int, objects []unsafe.Pointer)) {
	b.of.remove(b.stack)
	b.stack.Shut(give)
	b.shut.Store(true)
	shut.Add(b.stack.Reserved())
}

// unmap gives the addresses back. Nobody can look any more.
func (b *beside) unmap() {
	b.of.remove(b.stack)
	reserved := b.stack.Reserved()
	b.stack.Close()
	if b.shut.Load() {
		shut.Add(-reserved)
	}
}

// sizes returns the memory that they take and their address space, in bytes.
func (b *besides) sizes() (footprint, reserved int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for stack := range b.all {
		footprint += stack.Footprint()
		reserved += stack.Reserved()
	}
	return footprint, reserved
}

// shut is how many bytes of addresses closed caches of the process have that the
// collector has not given back, and shutKept how many that were after the last
// collection that was made for them: the program may keep closed caches.
var shut, shutKept atomic.Int64

// shutMost is how many bytes more than shutKept make a collection worth it.
const shutMost = 64 << 20

// collectShut makes the collector give back the addresses of closed caches.
func collectShut() {
	before := shut.Load()
	runtime.GC()
	// Cleanups run in a goroutine of the runtime, behind the collection.
	const patience = time.Second
	for end, last := time.Now().Add(patience), int64(-1); last != shut.Load() && time.Now().Before(end); {
		if now := shut.Load(); now < before {
			last = now // the first are gone; until there are no more of them
		}
		time.Sleep(time.Millisecond)
	}
	shutKept.Store(shut.Load())
}
