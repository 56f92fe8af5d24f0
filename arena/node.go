package arena

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// node is what a heap has of one NUMA node: a part of the range, the spans that are
// cut from it, and the lists of their objects. A page belongs to the node of its part
// for good, and so does what lies on it, whoever frees it; only magazines may hold
// objects of several nodes (homes). Where there is one node, or memory is not kept
// apart, there is one of these.
type node struct {
	number   int // the kernel's; or anyNode
	others   []*node
	pages    pageHeap
	low      int64        // of upkeep, in pages: lowest number of free ones in the round before
	gone     goneStats    // pieces of its spans
	borrowed atomic.Int64 // times that others served its threads, since it had no memory
	transfer [classCount]transfer
	central  [classCount]central
}

// newNode returns the node of a part of the range, in bytes.
func newNode(h *Heap, number int, offset, size uintptr) *node {
	n := &node{number: number}
	n.pages.open(&h.spans, h.budget, h.memory.Part(offset, size), uint32(offset>>pageShift))
	return n
}

// homes remembers for each vCPU on which node it was last. The kernel's ids do not
// stay on a node. So what a vCPU has at hand when it comes to another one is of the
// node that it has left: it is used up first, or goes back when the vCPU misses there
// for the first time, or misses at all when homeInterval is over since the last time.
type homes struct {
	vcpus    []home
	interval time.Duration // homeInterval, but for tests
	moves    atomic.Int64  // how often magazines were emptied for that
}

// home is 1 + the index of the node, 0 for none yet, and when it last was another.
type home struct {
	node  atomic.Int32
	since atomic.Int64 // nanoseconds since epoch
	_     [48]byte
}

// homeInterval is how long a vCPU must have been at home, before its magazines are
// emptied again: one that goes to and fro would have no use of them.
const homeInterval = time.Second

var epoch = time.Now()

func (o *homes) open(vcpus int) { o.vcpus, o.interval = make([]home, vcpus), homeInterval }

// moved notes that the vCPU is on the node with the given index, and reports whether
// it has come from another one and its magazines are to be emptied.
func (o *homes) moved(vcpu, index int) bool {
	if vcpu >= len(o.vcpus) {
		return false
	}
	at := &o.vcpus[vcpu]
	before := at.node.Load()
	if before == int32(index)+1 {
		return false
	}
	now := int64(time.Since(epoch))
	if before != 0 && now-at.since.Load() < int64(o.interval) {
		return false // the node stays noted, and it is tried again at a later miss
	}
	if !at.node.CompareAndSwap(before, int32(index)+1) {
		return false
	}
	at.since.Store(now)
	if before != 0 {
		o.moves.Add(1)
	}
	return before != 0
}

// emptyHere moves what this vCPU has at hand to the nodes that it belongs to.
func (h *Heap) emptyHere() {
	var array [maxBatch]unsafe.Pointer
	for class := uint8(1); class < classCount; class++ {
		// Others may fill it meanwhile, so not for ever.
		for range (classes[class].magazine + maxBatch - 1) / maxBatch {
			n := h.Magazines.PopBatch(int(class), array[:])
			h.giveBack(class, array[:n])
			if n < len(array) {
				break
			}
		}
	}
}
