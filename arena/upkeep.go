package arena

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// upkeep returns memory to the system that nobody has needed for a while: a
// goroutine that comes into being when slow paths leave something behind, and
// ends when nothing is left that could be returned. In each round it moves
//
//	objects of magazines that did not change         to the spans
//	objects of transfer caches that nobody needed    to the spans
//	free pages that nobody needed                    to the system
//	free OS pages of spans that nobody touched       to the system
//	regions in use as a whole                        to huge pages, if wanted (huge.go)
//
// where "not" means: in the last two rounds, so that what is used again and again
// stays. What has come out of caches has waited already, and goes on at once; when a
// soft limit is exceeded, all free pages do.
type upkeep struct {
	delay   time.Duration // two rounds; 0 is never
	pages   int64         // that a round returns at the most
	running atomic.Bool
	ended   chan struct{}
	group   sync.WaitGroup

	// What the goroutine knows, also from one life to the next.

	idle    *rseqcs.Idle
	drained time.Time // the last fence
	round   uint
}

const (
	stillLooks = 2 // rounds without a change make a magazine idle

	// fenceInterval is the least time between two fences: each one interrupts all
	// CPUs, and empties the fast paths for an instant.
	fenceInterval = time.Second
)

// ReleaseAfter makes h return memory to the system by itself that was free for so
// long. Call it once, before h is used.
func (h *Heap) ReleaseAfter(delay time.Duration) {
	h.upkeep.ended = make(chan struct{})
	h.upkeep.idle = h.Magazines.NewIdle()
	h.upkeep.idle.Lowered = h.capacity.lowered
	h.upkeep.delay, h.upkeep.pages = delay, noBound
}

// ReleaseAtMost bounds what h returns by itself, in bytes for each second; a soft limit
// that is exceeded takes no notice of it. Call it once, behind ReleaseAfter.
func (h *Heap) ReleaseAtMost(rate int64) {
	round := h.upkeep.delay / stillLooks
	h.upkeep.pages = max(1, int64(float64(rate)*round.Seconds())>>pageShift)
}

// noBound is more pages than there are.
const noBound = math.MaxInt64 / 2

// begin makes the goroutine run. Slow paths call it when they are done: what they
// have left behind is seen by the goroutine, before it ends or after.
func (u *upkeep) begin(h *Heap) {
	if u.delay > 0 && !u.running.Load() && u.running.CompareAndSwap(false, true) {
		u.group.Go(func() { u.run(h) })
	}
}

// end ends the goroutine for good and waits for it.
func (u *upkeep) end() {
	if u.delay > 0 {
		close(u.ended)
		u.group.Wait()
		u.delay = 0
	}
}

func (u *upkeep) run(h *Heap) {
	// Once in the goroutine's life, which would not end if it tried for ever.
	h.retryPages()
	rounds := time.NewTicker(u.delay / stillLooks)
	defer rounds.Stop()
	for {
		select {
		case <-u.ended:
			return
		case <-rounds.C:
		}
		if h.maintain() {
			continue
		}
		u.running.Store(false)
		// Somebody may have relied on this goroutine meanwhile.
		if !h.leftBehind() || !u.running.CompareAndSwap(false, true) {
			return
		}
	}
}

// maintain does one round, and reports whether there may be something to do in
// later ones.
func (h *Heap) maintain() (again bool) {
	u := &h.upkeep
	u.round++
	var before, waited [maxNodes]int64
	h.draining.Lock()
	for i, n := range h.nodes {
		before[i] = n.pages.residentNow()
	}
	h.emptyIdle()
	h.giveSurplus()
	for i, n := range h.nodes {
		waited[i] = max(0, n.pages.residentNow()-before[i])
	}
	h.draining.Unlock()
	left := u.pages
	for i, n := range h.nodes {
		low := n.pages.takeLow()
		if h.budget.overSoft() {
			n.pages.returnPages(noBound, true)
		} else {
			left -= n.pages.returnPages(min(left, min(low, n.low)+waited[i]), false)
		}
		n.low = low
	}
	collapses := h.collapse()
	swept := false
	if u.round%stillLooks == 0 {
		swept = h.sweepSome(left)
	}
	return swept || collapses || u.round%stillLooks != 0 || h.leftBehind()
}

// sweepSome sweeps until about so many pages were returned, and reports whether the next
// sweep may find more.
func (h *Heap) sweepSome(pages int64) (again bool) {
	if pages <= 0 {
		return true
	}
	most := h.swept() + min(pages, noBound>>pageShift)<<pageShift
	_, again, _ = h.sweep(false, func() bool { return h.upkeep.goesOn() && h.swept() < most })
	return again
}

// swept returns the bytes that were ever returned inside of spans.
func (h *Heap) swept() (bytes int64) {
	for _, n := range h.nodes {
		bytes += n.gone.released.Load()
	}
	return bytes
}

// collapse makes huge pages of what is in use as a whole, where that is wanted.
func (h *Heap) collapse() (again bool) {
	if h.huge != HugeCollapse {
		return false
	}
	for _, n := range h.nodes {
		if n.pages.collapse(func(page uint32) bool { return *h.spans.goneAt(page)&bare != 0 }) {
			again = true
		}
	}
	return again
}

// goesOn reports whether the heap is not being closed.
func (u *upkeep) goesOn() bool {
	select {
	case <-u.ended:
		return false
	default:
		return true
	}
}

// leftBehind reports whether memory is free that may be returned.
func (h *Heap) leftBehind() bool {
	if h.heldByVCPUs() > 0 {
		return true
	}
	for _, n := range h.nodes {
		if n.pages.canReturn() || n.pages.canCollapse() {
			return true
		}
		for class := range n.transfer {
			if n.transfer[class].len() > 0 {
				return true
			}
		}
	}
	return false
}

// emptyIdle moves the objects of magazines that nobody uses to the spans, unless
// the last fence was just now.
func (h *Heap) emptyIdle() {
	u := &h.upkeep
	if u.idle.Look(stillLooks) == 0 || time.Since(u.drained) < fenceInterval {
		return
	}
	u.drained = time.Now()
	u.idle.Drain(stillLooks, func(class int, objects []unsafe.Pointer) {
		for len(objects) > 0 {
			n := min(len(objects), maxBatch)
			h.giveObjects(uint8(class), objects[:n])
			objects = objects[n:]
		}
	})
}

// giveSurplus moves the objects of transfer caches that nobody needs to the spans.
func (h *Heap) giveSurplus() {
	var array [maxBatch]unsafe.Pointer
	for _, node := range h.nodes {
		for class := 1; class < classCount; class++ {
			for n := len(array); n == len(array); {
				n = node.transfer[class].surplus(array[:])
				h.giveObjectsOf(node, uint8(class), array[:n])
			}
		}
	}
}
