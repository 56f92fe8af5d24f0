package arena

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// worthDraining is the share of the heap that other vCPUs' magazines must hold
// before reclaim stops them: draining costs everyone a refill, and it takes the
// freeing of that much memory until it is worth it again. For a caller who wants such a
// share any object is worth it: one alone may keep the run from being long enough. And so
// is any object of the class that the caller wants.
const worthDraining = 16

// sweptAhead is the share of a full limit that is returned inside of spans at once.
const sweptAhead = 64

// reclaim moves the free objects of the caches back to the spans, so that whole
// spans become free: of the transfer caches, of this vCPU's magazines, and, if
// it is worth it, of all the others'. want is how many bytes the caller needs; 0 means all
// that can be had. class is that of the object that the caller needs, or 0.
func (h *Heap) reclaim(want int64, class uint8) {
	// One at a time: what a second one would find is in the hands of the first.
	h.draining.Lock()
	defer h.draining.Unlock()
	for class := uint8(1); class < classCount; class++ { // of all classes
		var array [maxBatch]unsafe.Pointer
		for {
			n := 0
			for _, node := range h.nodes {
				n += node.transfer[class].take(array[n:])
			}
			n += h.Magazines.PopBatch(int(class), array[n:])
			if n == 0 {
				break
			}
			h.giveObjects(class, array[:n])
		}
	}
	if want == 0 || h.heldByVCPUs() >= h.leastToDrain(want) || class != 0 && h.heldOf(class) > 0 {
		h.Magazines.Drain(func(class int, objects []unsafe.Pointer) {
			h.giveObjects(uint8(class), objects)
		})
	}
}

// leastToDrain returns how many bytes the magazines must hold before all are drained for
// a caller who needs want bytes.
func (h *Heap) leastToDrain(want int64) int64 {
	most := int64(h.size)
	if limit := h.budget.Limit(); limit > 0 {
		most = min(most, limit)
	}
	if least := most / worthDraining; want < least {
		return least
	}
	return 1
}

// rescueShare is the part of the time that may go into making room, and rescueBurst
// what may go into it beyond that for once, or rescueRounds rounds, if these take
// longer: as they do in large heaps. It is CPU time, since on a busy machine rounds take
// long that do little. Where a limit stays full, all that is free was just looked for,
// and to look again for each block would take most of the time: then there is a refusal
// at once.
const (
	rescueShare  = 20
	rescueBurst  = 50 * time.Millisecond
	rescueRounds = 16
)

// rescue is what is done for those that were refused pages, one at a time: where a
// limit is full, many are, and what one of them finds the others need not look for.
type rescue struct {
	rounds atomic.Uint64 // begun
	mu     sync.Mutex

	// Guarded by mu.

	vain  int64         // pages that were refused after the last round, or 0
	spent time.Duration // on rounds, in CPU time, less what is allowed for the time up to until
	until time.Time
	last  time.Duration // what the last round took
}

// burst is what may be spent.
func (r *rescue) burst() time.Duration { return max(rescueBurst, rescueRounds*r.last) }

// mayLook reports whether there is time for a round.
func (r *rescue) mayLook() bool {
	r.spent = max(0, r.spent-time.Since(r.until)/rescueShare)
	r.until = time.Now()
	return r.spent < r.burst()
}

// LookAgain lets a request that is refused look for memory whatever time that has
// taken: the caller has just freed some for it.
func (h *Heap) LookAgain() {
	r := &h.rescue
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spent = min(r.spent, r.burst()-1)
}

// insist makes room and tries again, for a caller whose try to get so many pages, for an
// object of the class unless that is 0, has failed with err. seen is how many rounds had begun before that try: if one has begun
// and ended since, and was in vain for no more pages, there is nothing to be found.
func (h *Heap) insist(seen uint64, class uint8, pages int64, err error, try func() error) error {
	r := &h.rescue
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rounds.Load() != seen {
		if err = try(); err == nil || r.vain != 0 && r.vain <= pages {
			return err
		}
	}
	if !r.mayLook() {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime()
	r.rounds.Add(1)
	h.makeRoom(class, pages)
	if err = try(); err == nil {
		r.vain = 0
	} else {
		r.vain = pages
	}
	r.until = time.Now()
	r.last = threadTime() - begin
	r.spent += r.last
	return err
}

// makeRoom is what a heap does before it refuses pages: it moves what its caches
// hold back to the spans, returns free memory of its nodes and free OS pages inside of
// its spans, and makes the heaps that share a full budget with it return their free
// memory. The caller holds no lock.
func (h *Heap) makeRoom(class uint8, pages int64) {
	h.reclaim(pages<<pageShift, class)
	h.retryPages()
	if len(h.nodes) > 1 {
		h.trimPages(func() bool { return h.budget.lacks(pages) != nil })
	}
	need := pages
	for _, n := range h.nodes {
		need = min(need, pages-n.pages.residentNow())
	}
	if h.budget.lacks(need) != nil {
		// More than that, or the next refill would do all of this again.
		ahead := need + h.budget.Limit()>>pageShift/sweptAhead
		h.sweep(true, func() bool { return h.budget.lacks(ahead) != nil })
	}
	for node := h.budget; node != nil; node = node.parent {
		node.squeeze(h, need)
	}
}

// giveWay returns the free memory of h to the system, for another heap: first what
// is free in whole pages, and inside of spans until full says no.
func (h *Heap) giveWay(full func() bool) {
	h.reclaim(0, 0)
	h.trimPages(func() bool { return true })
	if full() {
		h.sweep(true, full)
	}
}

// retryPages makes the free spans candidates again that the system did not take.
func (h *Heap) retryPages() {
	for _, n := range h.nodes {
		n.pages.mu.Lock()
		n.pages.retry()
		n.pages.mu.Unlock()
	}
}

// trimPages returns the memory of free spans to the system until more says no, and
// reports how many pages it returned, and the first error of the system.
func (h *Heap) trimPages(more func() bool) (pages int64, first error) {
	for _, n := range h.nodes {
		returned, err := n.pages.trim(more)
		pages += returned
		if first == nil {
			first = err
		}
	}
	return pages, first
}

// heldByVCPUs returns the bytes of free objects in all magazines.
func (h *Heap) heldByVCPUs() (bytes int64) {
	for class := 1; class < classCount; class++ {
		bytes += h.heldOf(uint8(class))
	}
	return bytes
}

// heldOf returns the bytes of free objects of a class in all magazines.
func (h *Heap) heldOf(class uint8) (bytes int64) {
	slabs, _ := h.Magazines.Slabs()
	for slab := range slabs {
		bytes += int64(h.Magazines.Len(slab, int(class)))
	}
	return bytes * int64(classes[class].size)
}
