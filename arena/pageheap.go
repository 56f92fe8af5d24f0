package arena

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// pageHeap hands out runs of pages of one range of addresses, and joins what
// comes back with its free neighbours.
//
//	pages from first up to top = used + transit + pages of free spans
//	backed   = used + resident
//	charged  = backed - pages that are gone inside of spans (sweep.go)
//	resident = the sum of resident of the free spans and of those in transit
type pageHeap struct {
	mu       sync.Mutex
	memory   osmem.Range
	base     uint32 // number of the page at memory.Base
	first    uint32 // lowest page that is used
	end      uint32 // pages from here on are not of this heap
	spans    *spanTable
	backed   bins   // free spans with memory that can be returned to the system
	kept     bins   // those on huge pages that others use, if any are to be spared
	bare     bins   // free spans without
	top      uint32 // pages from here on were never used
	handed   uint32 // pages from here on were never handed out
	used     int64  // pages handed out
	resident int64  // pages that are not in use and may take memory
	low      int64  // lowest resident since takeLow, for upkeep
	released int64  // pages returned to the system so far
	asked    int64  // pages that the system was told to take for that
	budget   *Budget
	huge     *regions // nil: huge pages are not spared
	refused  int64    // pages of free spans that the system did not take
	transit  int64    // pages of free spans that are being returned, outside the lock
	arrived  sync.Cond
}

// open makes h, which must be zero, a heap without free pages over memory, of which
// the first page has the given number.
func (h *pageHeap) open(spans *spanTable, budget *Budget, memory osmem.Range, base uint32) {
	h.arrived.L = &h.mu
	h.spans, h.budget, h.memory, h.base = spans, budget, memory, base
	h.first = max(base, firstPage)
	h.top, h.handed, h.end = h.first, h.first, base+uint32(memory.Size>>pageShift)
}

// offsetOf returns where a page lies in memory, in bytes.
func (h *pageHeap) offsetOf(page uint32) uintptr { return uintptr(page-h.base) << pageShift }

// LimitError says that a heap would have to exceed its limit or one above, in
// bytes. InUse is what that limit counts and Name whose it is.
type LimitError struct {
	Want, InUse, Limit int64
	Name               string
}

// Is makes errors.Is(err, ErrLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit of %s reached: %s wanted, %s of %s in use",
		e.Name, humanize.IBytes(uint64(e.Want)), humanize.IBytes(uint64(e.InUse)), humanize.IBytes(uint64(e.Limit)))
}

// ErrLimit is what every *LimitError is.
var ErrLimit = errors.New("limit reached")

// ErrNoMemory says that the system, or the reserved range, has no memory left.
var ErrNoMemory = errors.New("out of memory")

// ErrTooLarge says that no heap of this size could ever hold the block.
var ErrTooLarge = errors.New("block too large")

// roomy is how much longer than the run that is wanted a free span is to be, at
// the beginning of which a run has room to grow.
const roomy = 4

// alloc returns the first page of a run of the given length, a multiple of
// align pages from address 0 on; align is a power of two. dirty tells that the
// pages may hold old bytes.
func (h *pageHeap) alloc(pages, align uint32) (first uint32, dirty bool, err error) {
	return h.allocFrom(h.find, pages, align, false)
}

// allocRoomy is alloc of a run with free pages behind it, if there are any, for a
// block that grows.
func (h *pageHeap) allocRoomy(pages uint32) (first uint32, dirty bool, err error) {
	return h.allocFrom(func(pages uint32) uint32 {
		for _, b := range []*bins{&h.kept, &h.backed, &h.bare} {
			if run := b.last(h.spans); run != 0 && h.spans.at(run).pages/roomy >= pages {
				return run
			}
		}
		if run, err := h.grow(min(roomy*pages, h.end-h.top)); err == nil && h.spans.at(run).pages >= pages {
			return run
		}
		return h.find(pages)
	}, pages, 1, true)
}

// allocFrom is alloc in a free span that find returns, or in new pages if that is
// 0, at the beginning of it if the block grows. The lock is held while find runs.
func (h *pageHeap) allocFrom(find func(pages uint32) uint32, pages, align uint32, grows bool) (first uint32, dirty bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if uint64(pages)+uint64(align) > maxPages {
		return 0, false, noMemory{runTooLong{pages, align}}
	}
	for {
		// Not even if all that is free here were returned?
		if full := h.budget.lacks(int64(pages) - h.resident); full != nil {
			return 0, false, full.refuse(pages, h.resident)
		}
		run := find(pages + align - 1)
		if run == 0 {
			if run, err = h.grow(pages + align - 1); err != nil {
				if h.await() {
					continue
				}
				return 0, false, err
			}
		}
		skip := -(uint32(uintptr(h.memory.Base)>>pageShift) + run - h.base) & (align - 1)
		if align == 1 && !grows {
			skip = h.skip(run, pages)
		}
		full := h.budget.charge(int64(pages) + h.residentAfter(run, skip, pages) - h.resident)
		if full == nil {
			first, dirty = h.cut(run, skip, pages)
			h.low = min(h.low, h.resident)
			return first, dirty, nil
		}
		if !h.returnOne(maxPages, true) && !h.await() {
			return 0, false, full.refuse(pages, 0)
		}
	}
}

// extend adds pages behind a run that alloc returned, if they are free and the
// budget has room for them. dirty tells that they may hold old bytes.
func (h *pageHeap) extend(first, more uint32) (dirty, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spans.at(first)
	next := first + s.pages
	if uint64(next)+uint64(more) > uint64(h.end) {
		return false, false
	}
	if free := h.freeFrom(next); free < more {
		if next+free != h.top {
			return false, false // others lie there
		}
		if _, err := h.grow(more); err != nil {
			return false, false
		}
	}
	if h.budget.charge(int64(more)+h.residentAfter(next, 0, more)-h.resident) != nil {
		return false, false
	}
	_, dirty = h.cut(next, 0, more)
	h.low = min(h.low, h.resident)
	*h.spans.at(next) = span{}
	s.pages += more
	return dirty, true
}

// freeFrom returns the length of the free span that begins at page, 0 for none.
func (h *pageHeap) freeFrom(page uint32) uint32 {
	if page >= h.top || h.spans.at(page).state != spanFree {
		return 0
	}
	return h.spans.at(page).pages
}

// shrink takes back what a run has above the given number of pages.
func (h *pageHeap) shrink(first, pages uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spans.at(first)
	rest := s.pages - pages
	s.pages = pages
	h.free(first+pages, rest)
}

// find returns a free span of at least the given length, rather one that takes
// memory already, or 0.
func (h *pageHeap) find(pages uint32) uint32 {
	if h.huge == nil {
		if run := h.backed.find(h.spans, pages); run != 0 {
			return run
		}
		return h.bare.find(h.spans, pages)
	}
	for _, b := range []*bins{&h.kept, &h.backed, &h.bare} {
		if run := b.find(h.spans, pages); run != 0 {
			return b.fullest(h.spans, run, h.fuller)
		}
	}
	return 0
}

// residentAfter returns what resident would be if pages were cut out of a free
// span behind the first skip ones.
func (h *pageHeap) residentAfter(run, skip, pages uint32) int64 {
	before, behind := h.touched(run, h.spans.at(run), run+skip, pages)
	first, count := run+skip-before, before+pages+behind
	return h.resident + int64(count-h.spans.residentIn(first, count)) - int64(pages)
}

// cut takes pages out of a free span, behind the first skip ones. dirty tells that they
// may hold old bytes; which do not, their marks tell.
func (h *pageHeap) cut(run, skip, pages uint32) (first uint32, dirty bool) {
	s := *h.take(run)
	first, rest := run+skip, s.pages-skip-pages
	before, behind := h.touched(run, &s, first, pages)
	s.resident += h.wake(first-before, before) + h.wake(first+pages, behind) - h.spans.residentIn(first, pages)
	// Either of the two may be long.
	left := uint32(0)
	if skip < rest {
		left = h.spans.residentIn(run, skip)
	} else {
		left = s.resident - h.spans.residentIn(first+pages, rest)
	}
	if s.refused {
		h.refused -= int64(h.spans.refusedIn(first, pages))
	}
	dirty = h.spans.setFresh(first, pages, h.handed)
	h.handed = max(h.handed, first+pages)
	h.spans.at(first).pages = pages
	h.used += int64(pages)
	if h.huge != nil {
		h.huge.count(first, pages, true)
	}
	h.putPart(run, skip, left, &s)
	h.putPart(first+pages, rest, s.resident-left, &s)
	return first, dirty
}

// putPart files what is left of a free span at one end of it, if there is anything.
func (h *pageHeap) putPart(first, pages, resident uint32, whole *span) {
	if pages > 0 {
		h.put(first, span{pages: pages, resident: resident, refused: whole.refused, kept: whole.kept})
	}
}

// wake makes bare pages of a free run such that may take memory, and returns how many
// these were.
func (h *pageHeap) wake(first, pages uint32) (woken uint32) {
	if pages == 0 {
		return 0
	}
	for i, mark := range h.spans.goneOf(first, pages) {
		if mark == bare {
			*h.spans.goneAt(first + uint32(i)) = 0
			woken++
		}
	}
	h.spans.candidates.set(first, pages)
	return woken
}

// grow makes a free span of at least the given length out of pages that were
// never used, together with a free span that ends there.
func (h *pageHeap) grow(pages uint32) (first uint32, err error) {
	count := max(pages, growPages)
	if before := h.freeBefore(h.top); before != 0 && pages > growPages {
		count = max(pages-h.spans.at(before).pages, growPages)
	}
	if h.huge != nil {
		count = h.huge.begin(h.huge.of(h.top+count-1)+1) - h.top // up to the end of a huge page
	}
	count = min((count+granulePages-1)&^(granulePages-1), h.end-h.top)
	if before := h.freeBefore(h.top); count == 0 || count < pages && (before == 0 || h.spans.at(before).pages+count < pages) {
		return 0, noMemory{rangeUsed(h.memory.Size)}
	}
	top := h.top + count
	if err := h.spans.back(top); err != nil {
		return 0, noMemory{err}
	}
	if err := h.memory.Back(h.offsetOf(top)); err != nil {
		return 0, noMemory{err}
	}
	h.spans.setBare(h.top, count)
	first = h.put(h.top, span{pages: count})
	h.top = top
	return first, nil
}

// charge charges pages whose memory comes back inside of a span, for which it returns
// free pages to the system if it must. The error is that of a limit.
func (h *pageHeap) charge(pages int64) error {
	if pages == 0 || h.budget.charge(pages) == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		full := h.budget.charge(pages)
		if full == nil {
			return nil
		}
		if !h.returnOne(maxPages, true) && !h.await() {
			return full.refuse(uint32(pages), 0)
		}
	}
}

// release takes back a run that alloc returned, of which the caller has marked the
// bare pages; what is charged is the caller's matter.
func (h *pageHeap) release(first uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free(first, h.spans.at(first).pages)
}

// free takes back pages in use, and joins them with their free neighbours.
func (h *pageHeap) free(first, pages uint32) {
	h.used -= int64(pages)
	if h.huge != nil {
		h.huge.count(first, pages, false)
	}
	h.spans.candidates.set(first, pages)
	h.put(first, span{pages: pages, resident: h.spans.residentIn(first, pages)})
}

// put joins a run with its free neighbours, files it, and returns the first page of the
// whole. The caller sets pages, resident, refused, stuck and kept of the run.
func (h *pageHeap) put(first uint32, run span) uint32 {
	if before := h.freeBefore(first); before != 0 {
		h.unlock(first)
		first = before
		run = joined(run, *h.take(before))
	}
	if after := first + run.pages; after < h.top && h.spans.at(after).state == spanFree {
		h.unlock(after)
		run = joined(run, *h.take(after))
	}
	run.state = spanFree
	run.kept = run.kept && run.resident > 0
	*h.spans.at(first) = run
	h.spans.at(first + run.pages - 1).head = first
	h.resident += int64(run.resident)
	h.binsOf(&run).insert(h.spans, first)
	return first
}

// joined returns the record of two neighbours as one.
func joined(a, b span) span {
	return span{pages: a.pages + b.pages, resident: a.resident + b.resident, refused: a.refused || b.refused}
}

// unlock makes the pages of an OS page candidates again that could not go because both
// free and used pages lay on it: it becomes part of one free run.
func (h *pageHeap) unlock(page uint32) {
	if step := osPages(); step > 1 && h.refused > 0 {
		first := h.base + (page-h.base)&^(step-1)
		h.unrefuse(first, min(step, h.top-first))
	}
}

// unrefuse takes the marks of refused pages back.
func (h *pageHeap) unrefuse(first, pages uint32) {
	for i, mark := range h.spans.goneOf(first, pages) {
		if mark&refused != 0 {
			*h.spans.goneAt(first + uint32(i)) = mark &^ refused
			h.refused--
		}
	}
	h.spans.candidates.set(first, pages)
}

// binsOf returns where a free span belongs.
func (h *pageHeap) binsOf(s *span) *bins {
	switch {
	case s.resident == 0 || s.stuck:
		return &h.bare
	case s.kept:
		return &h.kept
	}
	return &h.backed
}

// take removes a free span from the bins.
func (h *pageHeap) take(first uint32) *span {
	s := h.spans.at(first)
	h.binsOf(s).remove(h.spans, first)
	h.spans.at(first + s.pages - 1).head = 0
	h.resident -= int64(s.resident)
	s.state = spanNone
	return s
}

// freeBefore returns the free span that ends right before page, or 0.
func (h *pageHeap) freeBefore(page uint32) uint32 {
	if page == h.first {
		return 0
	}
	return h.spans.at(page - 1).head
}
