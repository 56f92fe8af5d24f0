package arena

import (
	"math"
	"sync"
	"sync/atomic"
)

// Budget is a limit on the memory of a heap and of the heaps below it. Budgets
// form a tree; each heap has a node of its own and charges it, and with it all
// above, with the pages that may take memory:
//
//	charged = used + resident - gone of the node's heap + charged of the nodes below
//	charged <= limit
//
// Charging happens when pages move into a heap's use, or come back to it inside of
// a span, never on a fast path.
// Memory that a heap's caches hold stays charged. All methods may be called from
// any goroutine.
type Budget struct {
	name    string
	parent  *Budget
	limit   int64 // pages
	soft    int64 // pages; above it free memory is returned without delay
	charged atomic.Int64

	mu    sync.Mutex
	below map[*Budget]bool

	// alive is held while another heap makes this one give way, so that it is not
	// closed meanwhile.
	alive sync.RWMutex
	heap  *Heap // the node's own; nil before Open and after Close
}

// noLimit stands for none, in pages.
const noLimit = math.MaxInt64 >> pageShift

// NewBudget returns a node below parent, or a root if that is nil. limit and soft
// are in bytes, and rounded down to pages; 0 is no limit.
func NewBudget(name string, parent *Budget, limit, soft int64) *Budget {
	b := &Budget{name: name, parent: parent, limit: noLimit, soft: noLimit, below: make(map[*Budget]bool)}
	if limit > 0 {
		b.limit = limit >> pageShift
	}
	if soft > 0 {
		b.soft = soft >> pageShift
	}
	return b
}

// Charged returns what the heap and those below have charged, in bytes.
func (b *Budget) Charged() int64 { return b.charged.Load() << pageShift }

// Limit returns the tightest limit of the node and those above in bytes, 0 if
// none has any.
func (b *Budget) Limit() int64 {
	tightest := int64(noLimit)
	for ; b != nil; b = b.parent {
		tightest = min(tightest, b.limit)
	}
	if tightest == noLimit {
		return 0
	}
	return tightest << pageShift
}

// Below returns how many budgets are open right below the node.
func (b *Budget) Below() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.below)
}

// open makes h the heap of the node.
func (b *Budget) open(h *Heap) {
	b.alive.Lock()
	b.heap = h
	b.alive.Unlock()
	if b.parent != nil {
		b.parent.mu.Lock()
		b.parent.below[b] = true
		b.parent.mu.Unlock()
	}
}

// close takes the node and what its heap has charged out of the tree. Afterwards
// nobody makes the heap give way any more.
func (b *Budget) close() {
	b.alive.Lock()
	h := b.heap
	b.heap = nil
	b.alive.Unlock()
	if h == nil {
		return
	}
	b.charge(-h.chargeable())
	if b.parent != nil {
		b.parent.mu.Lock()
		delete(b.parent.below, b)
		b.parent.mu.Unlock()
	}
}

// charge adds pages, a negative number to give back, to the node and all above,
// or to none. It returns the node that has no room for them, or nil.
func (b *Budget) charge(pages int64) (full *Budget) {
	for node := b; node != nil; node = node.parent {
		if !node.add(pages) {
			for undo := b; undo != node; undo = undo.parent {
				undo.charged.Add(-pages)
			}
			return node
		}
	}
	return nil
}

// add charges pages to this node alone, unless that exceeds its limit.
func (b *Budget) add(pages int64) bool {
	for {
		charged := b.charged.Load()
		if pages > 0 && charged+pages > b.limit {
			return false
		}
		if b.charged.CompareAndSwap(charged, charged+pages) {
			return true
		}
	}
}

// lacks returns the first node that would be over its limit with so many pages
// more, or nil.
func (b *Budget) lacks(pages int64) *Budget {
	for node := b; node != nil; node = node.parent {
		if node.charged.Load()+pages > node.limit {
			return node
		}
	}
	return nil
}

// overSoft reports whether the node or one above is over its soft limit.
func (b *Budget) overSoft() bool {
	for node := b; node != nil; node = node.parent {
		if node.charged.Load() > node.soft {
			return true
		}
	}
	return false
}

// squeeze makes the other heaps of the node and those below return their free
// memory, until own can have so many pages.
func (b *Budget) squeeze(own *Heap, pages int64) {
	full := func() bool { return b.charged.Load()+pages > b.limit }
	for _, node := range b.nodes(nil) {
		if !full() {
			return
		}
		node.giveWay(own, full)
	}
}

// giveWay makes the node's heap return its free memory, unless it is own.
func (b *Budget) giveWay(own *Heap, full func() bool) {
	b.alive.RLock()
	defer b.alive.RUnlock()
	if b.heap != nil && b.heap != own {
		b.heap.giveWay(full)
	}
}

// nodes appends the node and those below to a list.
func (b *Budget) nodes(list []*Budget) []*Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	list = append(list, b)
	for child := range b.below {
		list = child.nodes(list)
	}
	return list
}

// refuse returns the error for pages that the node has no room for, though it
// would return the given number of free ones.
func (b *Budget) refuse(pages uint32, free int64) error {
	return &LimitError{Want: int64(pages) << pageShift, InUse: (b.charged.Load() - free) << pageShift, Limit: b.limit << pageShift, Name: b.name}
}
