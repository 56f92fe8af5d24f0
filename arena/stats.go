package arena

import "sync/atomic"

// largeStats counts the large blocks in use.
type largeStats struct{ blocks, bytes atomic.Int64 }

// ClassStats counts one class. Size is in bytes, all else in objects and spans.
type ClassStats struct {
	Size     int
	Spans    int64
	Live     int64 // with the program
	VCPU     int64 // in magazines
	Transfer int64 // in the transfer cache
	Central  int64 // free in spans
}

// Stats is what a heap holds, in bytes unless said. While other goroutines
// allocate and free, each number is right for some moment of the call, and
// their sums are off by what moved meanwhile.
//
//	Backed + Gone = Live + CachedVCPU + CachedTransfer + CachedCentral + Tails + PageHeapFree
type Stats struct {
	Reserved       int64 // address space, of blocks and tables
	Limit          int64 // 0: none
	Charged        int64 // Backed and Gone, and those of the heaps below in the tree of budgets
	Backed         int64 // pages handed out, and free ones that may take memory
	Live           int64 // blocks with the program, by their usable sizes
	CachedVCPU     int64 // free objects in magazines
	CachedTransfer int64 // free objects in transfer caches
	CachedCentral  int64 // free objects in spans
	Tails          int64 // ends of spans, too short for an object
	PageHeapFree   int64 // free pages that may take memory
	Gone           int64 // parts of partly used spans that were returned to the system
	Released       int64 // returned to the system since the start
	Metadata       int64 // tables and magazines, as far as they were ever used
	LargeBlocks    int64 // number of blocks above MaxSmall
	Classes        [ClassCount]ClassStats
}

// Stats returns the counts as they are now. It takes each lock for an instant
// and stops nobody.
func (h *Heap) Stats() *Stats {
	s := &Stats{LargeBlocks: h.large.blocks.Load(), Live: h.large.bytes.Load()}
	for class := 1; class < classCount; class++ {
		h.classStats(class, &s.Classes[class])
		c, size := &s.Classes[class], int64(classes[class].size)
		s.Live += c.Live * size
		s.CachedVCPU += c.VCPU * size
		s.CachedTransfer += c.Transfer * size
		s.CachedCentral += c.Central * size
		s.Tails += c.Spans * (int64(classes[class].pages)<<pageShift - int64(classes[class].perSpan)*size)
	}
	p := &h.pages
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Gone = h.gone.pieces.Load() << pieceShift
	s.Backed = (p.used+p.resident)<<pageShift - s.Gone
	s.PageHeapFree = p.resident << pageShift
	s.Released = p.released<<pageShift + h.gone.released.Load()
	if p.budget.limit != noLimit {
		s.Limit = p.budget.limit << pageShift
	}
	s.Charged = p.budget.Charged()
	tables := []int64{int64(h.pageMapMemory.Size), int64(h.spans.records.Size), int64(h.spans.bitmaps.Size), int64(h.spans.gone.Size)}
	s.Reserved = int64(p.memory.Size) + h.Magazines.Reserved()
	for _, size := range tables {
		s.Reserved += size
	}
	s.Metadata = h.Magazines.Footprint() + int64(p.top)*4 + int64(h.spans.records.Backed) + int64(h.spans.bitmaps.Backed)
	return s
}

// classStats counts a class. Magazines are read first and the objects that are
// outside last, so that what is freed meanwhile does not make Live negative.
func (h *Heap) classStats(class int, s *ClassStats) {
	s.Size = int(classes[class].size)
	slabs, _ := h.Magazines.Slabs()
	for slab := range slabs {
		s.VCPU += int64(h.Magazines.Len(slab, class))
	}
	s.Transfer = int64(h.transfer[class].len())
	c := &h.central[class]
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Spans = c.spans
	s.Central = c.spans*int64(classes[class].perSpan) - c.given
	s.Live = max(0, c.given-s.VCPU-s.Transfer)
}
