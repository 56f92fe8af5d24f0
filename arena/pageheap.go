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
//	pages below top = used + pages of free spans
//	backed          = used + the sum of resident of the free spans
//	backed         <= limit
type pageHeap struct {
	mu       sync.Mutex
	memory   osmem.Range
	spans    *spanTable
	free     bins
	top      uint32 // pages from here on were never used
	used     int64  // pages handed out
	resident int64  // pages of free spans that may take memory
	released int64  // pages returned to the system so far
	limit    int64  // pages
}

// LimitError says that a heap would have to exceed its limit, in bytes.
type LimitError struct{ Want, InUse, Limit int64 }

// Is makes errors.Is(err, ErrLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit reached: %s wanted, %s of %s in use",
		humanize.IBytes(uint64(e.Want)), humanize.IBytes(uint64(e.InUse)), humanize.IBytes(uint64(e.Limit)))
}

// ErrLimit is what every *LimitError is.
var ErrLimit = errors.New("limit reached")

// ErrNoMemory says that the system, or the reserved range, has no memory left.
var ErrNoMemory = errors.New("out of memory")

// ErrTooLarge says that no heap of this size could ever hold the block.
var ErrTooLarge = errors.New("block too large")

// alloc returns the first page of a run of the given length, a multiple of
// align pages from address 0 on; align is a power of two. dirty tells that the
// pages may hold old bytes.
func (h *pageHeap) alloc(pages, align uint32) (first uint32, dirty bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.used+int64(pages) > h.limit {
		return 0, false, &LimitError{Want: int64(pages) << pageShift, InUse: h.used << pageShift, Limit: h.limit << pageShift}
	}
	if uint64(pages)+uint64(align) > maxPages {
		return 0, false, fmt.Errorf("%w: a run of %d pages with an alignment of %d", ErrNoMemory, pages, align)
	}
	run := h.free.find(h.spans, pages+align-1)
	if run == 0 {
		if run, err = h.grow(pages + align - 1); err != nil {
			return 0, false, err
		}
	}
	s := h.spans.at(run)
	skip := -(uint32(uintptr(h.memory.Base)>>pageShift) + run) & (align - 1)
	rest := s.pages - skip - pages
	// Which pages of a free span take memory is not known, so each part of it
	// counts as if all of them lay there.
	if h.used+int64(pages)+h.resident-int64(s.resident)+int64(min(skip, s.resident)+min(rest, s.resident)) > h.limit {
		h.releaseAll()
	}
	h.take(run)
	resident := s.resident
	dirty = s.dirty
	first = run + skip
	h.spans.at(first).pages = pages
	h.used += int64(pages)
	if skip > 0 {
		h.put(run, skip, min(skip, resident), dirty)
	}
	if rest > 0 {
		h.put(first+pages, rest, min(rest, resident), dirty)
	}
	return first, dirty, nil
}

// grow makes a free span of at least the given length out of pages that were
// never used, together with a free span that ends there.
func (h *pageHeap) grow(pages uint32) (first uint32, err error) {
	count := max(pages, growPages)
	end := uint32(h.memory.Size >> pageShift)
	if before := h.freeBefore(h.top); before != 0 && pages > growPages {
		count = max(pages-h.spans.at(before).pages, growPages)
	}
	count = min(count, end-h.top)
	if before := h.freeBefore(h.top); count == 0 || count < pages && (before == 0 || h.spans.at(before).pages+count < pages) {
		return 0, fmt.Errorf("%w: the reserved range of %s is used up", ErrNoMemory, humanize.IBytes(uint64(h.memory.Size)))
	}
	top := h.top + count
	if err := h.spans.back(top); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	if err := h.memory.Back(uintptr(top) << pageShift); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	first = h.put(h.top, count, 0, false)
	h.top = top
	return first, nil
}

// release takes back a run that alloc returned. dirty is false only if nothing
// was written to it.
func (h *pageHeap) release(first uint32, dirty bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pages := h.spans.at(first).pages
	h.used -= int64(pages)
	h.put(first, pages, pages, dirty)
}

// put joins a run with its free neighbours, files it, and returns the first
// page of the whole.
func (h *pageHeap) put(first, pages, resident uint32, dirty bool) uint32 {
	if before := h.freeBefore(first); before != 0 {
		s := h.take(before)
		first, pages = before, pages+s.pages
		resident, dirty = resident+s.resident, dirty || s.dirty
	}
	if after := first + pages; after < h.top && h.spans.at(after).state == spanFree {
		s := h.take(after)
		pages += s.pages
		resident, dirty = resident+s.resident, dirty || s.dirty
		s.state = spanNone
	}
	*h.spans.at(first) = span{pages: pages, resident: resident, state: spanFree, dirty: dirty}
	h.spans.at(first + pages - 1).head = first
	h.resident += int64(resident)
	h.free.insert(h.spans, first)
	return first
}

// take removes a free span from the bins.
func (h *pageHeap) take(first uint32) *span {
	s := h.spans.at(first)
	h.free.remove(h.spans, first)
	h.spans.at(first + s.pages - 1).head = 0
	h.resident -= int64(s.resident)
	s.state = spanNone
	return s
}

// freeBefore returns the free span that ends right before page, or 0.
func (h *pageHeap) freeBefore(page uint32) uint32 {
	if page == firstPage {
		return 0
	}
	return h.spans.at(page - 1).head
}

// releaseAll returns the memory of all free spans to the system and reports how
// many pages that were at the most. What the system refuses stays as it is.
func (h *pageHeap) releaseAll() (pages int64) {
	for bin := h.free.next(0); bin < binCount; bin = h.free.next(bin + 1) {
		for page := h.free.lists[bin].first; page != 0; page = h.spans.at(page).next {
			s := h.spans.at(page)
			if s.resident == 0 {
				continue
			}
			zeroed, err := h.memory.Release(uintptr(page)<<pageShift, uintptr(s.pages)<<pageShift)
			if err != nil {
				continue
			}
			s.dirty = s.dirty && !zeroed
			pages += int64(s.resident)
			h.resident -= int64(s.resident)
			s.resident = 0
		}
	}
	h.released += pages
	return pages
}
