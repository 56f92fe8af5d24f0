package arena

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// HugePages says what a heap does about transparent huge pages. The zero value is
// HugeSystem.
type HugePages int

const (
	// HugeSystem: as the machine is set, and none under a limit.
	HugeSystem HugePages = iota

	// HugeNever: none.
	HugeNever

	// HugeAdvise: the first byte that is touched of a huge page takes all of it.
	HugeAdvise

	// HugeCollapse: memory is taken by OS pages; what has come to be in use as a whole
	// becomes a huge page later, by upkeep.
	HugeCollapse
)

// String returns "system", "never", "advise" or "collapse", and "HugePages(9)" for what
// is no policy.
func (p HugePages) String() string {
	names := [...]string{"system", "never", "advise", "collapse"}
	if p < 0 || int(p) >= len(names) {
		return "HugePages(" + strconv.Itoa(int(p)) + ")"
	}
	return names[p]
}

// regionPages is the length of a region in pages: a huge page, aligned as one.
const regionPages = osmem.Align >> pageShift

// regions is what a page heap knows of the huge pages that its range is made of, if
// it is to spare them. A region is small if it surely is no huge page: some of its OS
// pages were returned to the system, or none was made of it yet. All others may be.
//
//	used of a region = its pages in spans in use
//
// What can be returned without breaking a huge page goes first, then parts of huge
// pages of which less than half is used. Of fuller ones only Trim and limits take.
type regions struct {
	policy    HugePages // HugeAdvise or HugeCollapse
	list      []region  // by number; the first is that of the page heap's base
	base      uint32    // of the page heap
	fresh     []uint32  // have become small: free spans that were kept for them are to go
	full      []uint32  // to be collapsed
	broken    int64     // huge pages of which a part was returned while others were in use
	collapsed int64     // huge pages made
	failed    error     // why no more are made

	// advising is held where the kernel is told to take memory or to give it: collapsing
	// would bring back what is returned at the same time.
	advising sync.Mutex
}

type region struct {
	used   uint16
	small  bool
	queued bool  // is in full
	fresh  bool  // is in fresh
	tries  uint8 // to collapse it in vain
}

// isSparse reports whether less than half of what may be a huge page is used, but some.
func (r *region) isSparse() bool { return !r.small && r.used > 0 && r.used < halfRegion }

const (
	halfRegion     = regionPages / 2
	collapseTries  = 3
	collapseAtOnce = 32 // regions in one round: 64 MiB are copied
)

// spareHuge makes h spare huge pages from now on. It must not have been used yet.
func (h *pageHeap) spareHuge(policy HugePages) {
	h.huge = &regions{policy: policy, base: h.base, list: make([]region, (h.end-h.base+regionPages-1)/regionPages)}
	for i := range h.huge.list {
		h.huge.list[i].small = policy == HugeCollapse
	}
}

// of returns the number of the region of a page.
func (g *regions) of(page uint32) uint32 { return (page - g.base) / regionPages }

// begin returns the first page of a region.
func (g *regions) begin(number uint32) uint32 { return g.base + number*regionPages }

// count adds pages in use to the regions they lie in, or takes them away.
func (g *regions) count(first, pages uint32, inUse bool) {
	for end := first + pages; first < end; {
		number := g.of(first)
		r := &g.list[number]
		part := min(end, g.begin(number+1)) - first
		first += part
		if !inUse {
			r.used -= uint16(part)
			continue
		}
		r.used += uint16(part)
		if r.used == regionPages && r.small && !r.queued && g.policy == HugeCollapse && r.tries < collapseTries {
			r.queued = true
			g.full = append(g.full, number)
		}
	}
}

// apart returns the part of a free span that can be returned without breaking a huge
// page which others use, or, if sparse ones may be broken, one that others use most of.
// It is empty if begin >= end.
func (h *pageHeap) apart(page, pages uint32, sparse bool) (begin, end uint32) {
	g := h.huge
	begin, end = page, page+pages
	free := func(number uint32) bool {
		r := &g.list[number]
		return r.small || r.used == 0 || sparse && r.isSparse()
	}
	if first := g.of(begin); !free(first) {
		begin = g.begin(first + 1)
	}
	if last := g.of(end - 1); begin < end && !free(last) {
		end = max(begin, g.begin(last))
	}
	return begin, end
}

// victim returns a free span whose memory is to go, and the part of it that may, which ends
// with the last OS page that has a candidate; page is 0 if there is none. Dense huge pages
// are broken only if hard, and as the last.
func (h *pageHeap) victim(hard bool) (page, begin, end uint32) {
	for h.huge == nil {
		if page = h.backed.last(h.spans); page == 0 {
			return 0, 0, 0
		}
		if end, ok := h.candidatesIn(page, page+h.spans.at(page).pages); ok {
			return page, page, end
		}
		h.setStuck(page)
	}
	for {
		for page = h.backed.last(h.spans); page != 0; page = h.backed.last(h.spans) {
			begin, end = h.apart(page, h.spans.at(page).pages, false)
			if end, ok := h.candidatesIn(begin, end); ok {
				return page, begin, end
			}
			h.keep(page, true)
		}
		if len(h.huge.fresh) == 0 {
			break
		}
		h.lookAgain()
	}
	if page, begin, end = h.sparse(); page != 0 || !hard {
		return page, begin, end
	}
	for page = h.kept.last(h.spans); page != 0; page = h.kept.last(h.spans) {
		if end, ok := h.candidatesIn(page, page+h.spans.at(page).pages); ok {
			return page, page, end
		}
		h.setStuck(page)
	}
	return 0, 0, 0
}

// setStuck files a free span as one without candidates.
func (h *pageHeap) setStuck(page uint32) {
	s := *h.take(page)
	s.stuck, s.kept = true, false
	h.put(page, s)
}

// keep files a free span as one whose memory lies on huge pages that others use, or
// no longer.
func (h *pageHeap) keep(page uint32, kept bool) {
	s := *h.take(page)
	s.kept = kept
	h.put(page, s)
}

// edges returns the regions in which a free span begins and ends. Of a kept span all
// that takes memory is there.
func (h *pageHeap) edges(page uint32) (first, last *region) {
	g := h.huge
	return &g.list[g.of(page)], &g.list[g.of(page+h.spans.at(page).pages-1)]
}

// lookAgain files the kept spans anew that lie on huge pages which were broken.
func (h *pageHeap) lookAgain() {
	h.kept.each(h.spans, func(page uint32) bool {
		if first, last := h.edges(page); first.fresh || last.fresh {
			h.keep(page, false)
		}
		return true
	})
	for _, number := range h.huge.fresh {
		h.huge.list[number].fresh = false
	}
	h.huge.fresh = h.huge.fresh[:0]
}

// sparseTries bounds the search for a sparse huge page.
const sparseTries = 256

// sparse returns a kept span with a candidate on a huge page that is used less than half,
// and the part that may go, among the longest.
func (h *pageHeap) sparse() (page, begin, end uint32) {
	tries := sparseTries
	h.kept.each(h.spans, func(kept uint32) bool {
		if first, last := h.edges(kept); first.isSparse() || last.isSparse() {
			from, to := h.apart(kept, h.spans.at(kept).pages, true)
			if to, ok := h.candidatesIn(from, to); ok {
				page, begin, end = kept, from, to
				return false
			}
		}
		tries--
		return tries > 0
	})
	return page, begin, end
}

// returned notes that memory was returned: whole regions will be what a touch makes of
// them, and others are broken.
func (g *regions) returned(begin, end uint32) {
	for number := g.of(begin); begin < end && number <= g.of(end-1); number++ {
		r := &g.list[number]
		if g.begin(number) >= begin && g.begin(number+1) <= end && r.used == 0 {
			r.small, r.tries = g.policy == HugeCollapse, 0
		} else if !r.small {
			r.small = true
			if !r.fresh {
				r.fresh = true
				g.fresh = append(g.fresh, number)
			}
			if r.used > 0 {
				g.broken++
			}
		}
	}
}

// breakUp notes that parts of pages in use were returned.
func (h *pageHeap) breakUp(begin, end uint32) {
	if h.huge == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.huge.returned(begin, end)
}

// touched returns how many free pages around a run that is about to be cut out of a
// free span take memory when the run is touched, if they do not already: those of the
// same huge pages.
func (h *pageHeap) touched(run uint32, s *span, first, pages uint32) (before, behind uint32) {
	g := h.huge
	if g == nil || g.policy != HugeAdvise {
		return 0, 0
	}
	if number := g.of(first); !g.list[number].small && g.list[number].used == 0 {
		before = first - max(run, g.begin(number))
	}
	if number := g.of(first + pages - 1); !g.list[number].small && g.list[number].used == 0 {
		behind = min(run+s.pages, g.begin(number+1)) - (first + pages)
	}
	return before, behind
}

// skip returns how many pages of a free span come before a run that is cut out of it:
// it is to lie on a huge page that is partly used already, at either end.
func (h *pageHeap) skip(run, pages uint32) uint32 {
	g, s := h.huge, h.spans.at(run)
	if g == nil || pages >= regionPages {
		return 0
	}
	end := run + s.pages
	first, last := g.of(run), g.of(end-1)
	if first == last || g.list[first].used > 0 && g.begin(first+1)-run >= pages {
		return 0
	}
	if g.list[last].used > 0 && end-g.begin(last) >= pages {
		return s.pages - pages
	}
	return 0
}

// fuller reports whether a free span of the same length as another lies on a region
// with more in use.
func (h *pageHeap) fuller(page, than uint32) bool {
	g := h.huge
	return g != nil && g.list[g.of(page)].used > g.list[g.of(than)].used
}

// isDense reports whether a page lies on what may be a huge page of which at least
// half is used: upkeep is to leave it whole.
func (h *pageHeap) isDense(page uint32) bool {
	if h.huge == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &h.huge.list[h.huge.of(page)]
	return !r.small && r.used >= halfRegion
}

// collapse makes huge pages of regions that are in use as a whole, and reports whether
// there may be more to do. isGone tells whether memory of a page was returned.
func (h *pageHeap) collapse(isGone func(page uint32) bool) (again bool) {
	if h.huge == nil || h.huge.policy != HugeCollapse {
		return false
	}
	for range collapseAtOnce {
		if !h.collapseOne(isGone) {
			return false
		}
	}
	return h.canCollapse()
}

// canCollapse reports whether regions wait to be collapsed.
func (h *pageHeap) canCollapse() bool {
	if h.huge == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.huge.full) > 0
}

func (h *pageHeap) collapseOne(isGone func(page uint32) bool) (more bool) {
	g := h.huge
	g.advising.Lock()
	defer g.advising.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(g.full) == 0 {
		return false
	}
	number := g.full[len(g.full)-1]
	g.full = g.full[:len(g.full)-1]
	r := &g.list[number]
	r.queued = false
	if g.failed != nil || !r.small || r.used < regionPages {
		return true
	}
	for page := g.begin(number); page < g.begin(number+1); page++ {
		if isGone(page) {
			return true // some of it is free, and not charged
		}
	}
	// Pages of it may be freed meanwhile, but as long as advising is held no memory of
	// them is returned.
	h.mu.Unlock()
	err := h.memory.Collapse(h.offsetOf(g.begin(number)), osmem.Align)
	h.mu.Lock()
	g.tried(number, err)
	return true
}

// tried notes the result of collapsing a region.
func (g *regions) tried(number uint32, err error) {
	r := &g.list[number]
	switch {
	case err == nil:
		r.small = false
		g.collapsed++
	case osmem.IsRefusal(err):
		g.failed = err
		g.full = nil
	default:
		r.tries++ // no free huge page, or khugepaged holds the range
	}
}

// chooseHuge applies a policy to a heap that is not used yet, or the nearest one that
// this kernel has.
func (h *Heap) chooseHuge(p HugePages, limit int64) {
	h.huge, h.hugeReason = h.tryHuge(p, limit)
	switch {
	case h.huge == HugeNever || h.huge == HugeSystem && limit > 0:
		// Else memory is taken that no count knows of.
		h.memory.NoHugePages()
		h.huge = HugeNever
	case h.huge == HugeAdvise || h.huge == HugeCollapse:
		for _, n := range h.nodes {
			n.pages.spareHuge(h.huge)
		}
	}
}

func (h *Heap) tryHuge(p HugePages, limit int64) (HugePages, string) {
	if p != HugeAdvise && p != HugeCollapse {
		return p, ""
	}
	info, err := h.machine.huge()
	switch {
	case err != nil:
		return HugeSystem, err.Error()
	case info.Size != osmem.Align:
		return HugeSystem, fmt.Sprintf("the kernel's huge pages are of %s, not of %s", humanize.IBytes(uint64(info.Size)), humanize.IBytes(osmem.Align))
	case limit > 0 && info.Always:
		return HugeNever, "under a limit, and the machine makes huge pages of all that is touched"
	}
	reason := ""
	switch {
	case p == HugeAdvise && limit > 0:
		p, reason = HugeCollapse, "under a limit one byte must not take a huge page"
	case p == HugeCollapse && info.Always:
		p, reason = HugeAdvise, "the machine makes huge pages of all that is touched"
	}
	if p == HugeAdvise {
		err = h.memory.HugePages()
	} else {
		err = h.memory.Collapse(0, 0) // of nothing: is the call known?
	}
	if err != nil {
		return HugeSystem, err.Error()
	}
	return p, reason
}
