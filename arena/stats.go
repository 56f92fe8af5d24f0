package arena

import (
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// largeStats counts the blocks of whole pages in use: above is those of more than
// MaxSmall bytes.
type largeStats struct{ blocks, bytes, above atomic.Int64 }

// count counts a block that had so many pages, and has so many now; 0 for none.
func (l *largeStats) count(before, now uint32) {
	const mostSmall = MaxSmall >> pageShift
	l.blocks.Add(one(now > 0) - one(before > 0))
	l.bytes.Add((int64(now) - int64(before)) << pageShift)
	l.above.Add(one(now > mostSmall) - one(before > mostSmall))
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// ClassStats counts one class. Size is in bytes, all else in objects and spans.
type ClassStats struct {
	Size     int   `json:"size"`
	Spans    int64 `json:"spans"`
	Live     int64 `json:"live"`     // with the program
	VCPU     int64 `json:"vcpu"`     // in magazines
	Transfer int64 `json:"transfer"` // in the transfer cache
	Central  int64 `json:"central"`  // free in spans
}

// NodeStats is what a heap holds on one NUMA node, in bytes, as far as it can tell:
// where the system really has the memory of an OS page is known to the system alone
// (/proc/self/numa_maps), since it takes another node when one is full.
//
//	Backed, Gone, PageHeapFree and Released of all nodes are those of Stats
type NodeStats struct {
	Node         int   `json:"node"` // the kernel's number, -1 where the system chooses
	Backed       int64 `json:"backed"`
	Gone         int64 `json:"gone"`
	PageHeapFree int64 `json:"page_heap_free"`
	Released     int64 `json:"released"`
	Borrowed     int64 `json:"borrowed"` // times that others served its threads, since it had no memory
}

// Stats is what a heap holds. The tags are the stable names of the figures, in the
// form of runtime/metrics. Gauges unless said to count from the start; a unit is
// what follows the colon. While other goroutines allocate and free, each number is
// right for some moment of the call, and their sums are off by what moved meanwhile;
// at quiet points
//
//	Backed + Gone = Live + CachedVCPU + CachedTransfer + CachedCentral + Tails + PageHeapFree
//	Charged       = Backed + GoneCharged, and the Charged of the heaps right below
//	Retained      = max(0, Backed - Live - Tails)
//
// How much of Live is rounding nobody knows, since the sizes that were asked for
// are kept nowhere; RoundingMost bounds it.
type Stats struct {
	// Placement is on which NUMA nodes memory lies: "one node", "local", "interleave",
	// "node 1", or "first touch", where the system decides. PlacementReason says why
	// it is not what was asked for; else it is empty.
	Placement       string `json:"placement"`
	PlacementReason string `json:"placement_reason"`
	// HugePages is what is done about huge pages: "system", "never", "advise" or
	// "collapse". HugePagesReason says why it is not what was asked for; else it is empty.
	HugePages       string `json:"huge_pages"`
	HugePagesReason string `json:"huge_pages_reason"`
	// Reserved is address space, of blocks and tables. It takes no memory.
	Reserved int64 `json:"/memory/reserved:bytes"`
	// Limit is the node's own, 0 for none; one above may be tighter.
	Limit int64 `json:"/memory/limit:bytes"`
	// Charged is what counts towards Limit.
	Charged int64 `json:"/memory/charged:bytes"`
	// Backed is pages handed out, and free ones that may take memory.
	Backed int64 `json:"/memory/backed:bytes"`
	// Live is blocks with the program, by their usable sizes.
	Live int64 `json:"/memory/live:bytes"`
	// RoundingMost is the part of Live that is not asked for, at most: if all blocks
	// were the smallest of their class. More if blocks were aligned or shrunk.
	RoundingMost int64 `json:"/memory/live/rounding-most:bytes"`
	// CachedVCPU is free objects in magazines.
	CachedVCPU int64 `json:"/memory/cached/vcpu:bytes"`
	// CachedTransfer is free objects in transfer caches.
	CachedTransfer int64 `json:"/memory/cached/transfer:bytes"`
	// CachedCentral is free objects in spans of which others are in use.
	CachedCentral int64 `json:"/memory/cached/central:bytes"`
	// Tails is ends of spans, too short for an object.
	Tails int64 `json:"/memory/tails:bytes"`
	// PageHeapFree is free pages that may take memory.
	PageHeapFree int64 `json:"/memory/page-heap/free:bytes"`
	// Gone is parts of partly used spans that were returned to the system.
	Gone int64 `json:"/memory/gone:bytes"`
	// GoneCharged is the part of Gone that Charged counts all the same, since budgets
	// count in pages: less than one for each NUMA node.
	GoneCharged int64 `json:"/memory/gone/charged:bytes"`
	// Retained is what takes memory, or may, and is free. It is too little by what of Tails
	// was returned to the system, which Gone counts.
	Retained int64 `json:"/memory/retained:bytes"`
	// Released was returned to the system, from the start.
	Released int64 `json:"/memory/released:bytes"`
	// Metadata is tables, as far as they take memory, and magazines, as far as they
	// were ever used. It comes on top of Backed and counts towards no limit.
	Metadata int64 `json:"/memory/metadata:bytes"`
	// Arenas is how many vCPUs, and Ps of threads without one, ever had magazines, those of
	// caches not looked at: with mm_cid about as many as the CPUs that the process may use.
	Arenas int64 `json:"/vcpus/used:arenas"`
	// NodeMoves is how often the magazines of a vCPU were emptied, since it had come to
	// another NUMA node.
	NodeMoves int64 `json:"/numa/moves:events"`
	// HugeBroken is how many huge pages were broken: a part was returned to the system
	// while others were in use. HugeCollapsed is how many were made of OS pages.
	HugeBroken    int64 `json:"/huge-pages/broken:events"`
	HugeCollapsed int64 `json:"/huge-pages/collapsed:events"`
	// LargeBlocks is the number of blocks whose usable size is above MaxSmall. Smaller
	// blocks of whole pages, as AllocAligned and Realloc make them, are in no count but
	// Live.
	LargeBlocks int64 `json:"/blocks/large:blocks"`
	// DoubleFrees is how many blocks were found to have been freed twice when they came
	// back to their spans, from the start: what Free could not tell at the time, and a
	// later call or the background goroutine has found.
	DoubleFrees int64 `json:"/misuse/double-frees:events"`
	// Nodes is what there is of each NUMA node: one for all where memory is not kept
	// apart by nodes.
	Nodes NodeList `json:"/nodes"`
	// Classes are by their numbers; the first is none.
	Classes ClassList `json:"/classes"`
}

// Stats returns the counts as they are now. It takes each lock for an instant and
// stops nobody, and it waits while upkeep or a reclaim has objects in its hands that
// no count knows of: what the program sees when it rests is exact.
func (h *Heap) Stats() *Stats {
	h.draining.Lock()
	defer h.draining.Unlock()
	s := &Stats{LargeBlocks: h.large.above.Load(), Live: h.large.bytes.Load(), Placement: h.placement, PlacementReason: h.placementReason}
	s.DoubleFrees = h.doubleFrees.Load()
	s.RoundingMost = h.large.blocks.Load() * (1<<pageShift - 1)
	for class := 1; class < classCount; class++ {
		h.classStats(class, &s.Classes[class])
		c, size := &s.Classes[class], int64(classes[class].size)
		s.Live += c.Live * size
		s.RoundingMost += c.Live * (size - int64(classes[class-1].size) - 1)
		s.CachedVCPU += c.VCPU * size
		s.CachedTransfer += c.Transfer * size
		s.CachedCentral += c.Central * size
		s.Tails += c.Spans * (int64(classes[class].pages)<<pageShift - int64(classes[class].perSpan)*size)
	}
	s.Metadata, s.Arenas = h.Metadata(), int64(h.Magazines.Used())
	h.hugeStats(s)
	for _, n := range h.nodes {
		of := n.stats()
		s.Nodes.add(of)
		s.Gone += of.Gone
		s.GoneCharged += of.Gone - n.gone.uncharged()<<pageShift
		s.Backed += of.Backed
		s.PageHeapFree += of.PageHeapFree
		s.Released += of.Released
	}
	s.Retained = max(0, s.Backed-s.Live-s.Tails)
	s.NodeMoves = h.homes.moves.Load()
	if h.budget.limit != noLimit {
		s.Limit = h.budget.limit << pageShift
	}
	s.Charged = h.budget.Charged()
	s.Reserved = int64(h.memory.Size+h.pageMapMemory.Size+h.spans.memory.Size) + h.Magazines.Reserved()
	return s
}

// Gone returns Stats.Gone alone.
func (h *Heap) Gone() (bytes int64) {
	for _, n := range h.nodes {
		bytes += n.gone.pieces.Load() << pieceShift
	}
	return bytes
}

// hugeStats fills in what is known of huge pages.
func (h *Heap) hugeStats(s *Stats) {
	s.HugePages, s.HugePagesReason = h.huge.String(), h.hugeReason
	for _, n := range h.nodes {
		if n.pages.huge == nil {
			continue
		}
		n.pages.mu.Lock()
		s.HugeBroken += n.pages.huge.broken
		s.HugeCollapsed += n.pages.huge.collapsed
		if err := n.pages.huge.failed; err != nil {
			s.HugePagesReason = err.Error()
		}
		n.pages.mu.Unlock()
	}
}

// chargeable returns the pages of the heap that are charged to its budget.
func (h *Heap) chargeable() (pages int64) {
	for _, n := range h.nodes {
		n.pages.mu.Lock()
		pages += n.pages.used + n.pages.resident - n.gone.uncharged()
		n.pages.mu.Unlock()
	}
	return pages
}

// stats returns the counts of one node.
func (n *node) stats() NodeStats {
	p := &n.pages
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := n.gone.pieces.Load() << pieceShift
	return NodeStats{
		Node:         n.number,
		Backed:       (p.used+p.resident)<<pageShift - gone,
		Gone:         gone,
		PageHeapFree: p.resident << pageShift,
		Released:     p.released<<pageShift + n.gone.released.Load(),
		Borrowed:     n.borrowed.Load(),
	}
}

// GoneCharged returns Stats.GoneCharged alone.
func (h *Heap) GoneCharged() (bytes int64) {
	for _, n := range h.nodes {
		bytes += n.gone.pieces.Load()<<pieceShift - n.gone.uncharged()<<pageShift
	}
	return bytes
}

// Metadata returns Stats.Metadata alone.
func (h *Heap) Metadata() int64 {
	bytes := h.Magazines.Footprint() + h.spans.touched.count.Load()*int64(osmem.PageSize())
	for _, n := range h.nodes {
		n.pages.mu.Lock()
		pages := uintptr(n.pages.top - n.pages.base)
		n.pages.mu.Unlock()
		bytes += int64(pages * (pageMapBytes + 1 + unsafe.Sizeof(span{})))
	}
	return bytes
}

// classStats counts a class. Magazines are read first and the objects that are
// outside last, so that what is freed meanwhile does not make Live negative.
func (h *Heap) classStats(class int, s *ClassStats) {
	s.Size = int(classes[class].size)
	slabs, _ := h.Magazines.Slabs()
	for slab := range slabs {
		s.VCPU += int64(h.Magazines.Len(slab, class))
	}
	for _, n := range h.nodes {
		s.Transfer += int64(n.transfer[class].len())
	}
	given := int64(0)
	for _, n := range h.nodes {
		c := &n.central[class]
		c.mu.Lock()
		s.Spans += c.spans
		given += c.given
		c.mu.Unlock()
	}
	s.Central = s.Spans*int64(classes[class].perSpan) - given
	s.Live = max(0, given-s.VCPU-s.Transfer)
}
