package arena

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestPageHeapModel plays random operations against a model.
func TestPageHeapModel(t *testing.T) {
	const noLimit = math.MaxInt64 >> pageShift
	for _, test := range []struct {
		name  string
		limit int64
		huge  HugePages
	}{
		{"no limit", noLimit, HugeSystem}, {"limit", 700, HugeSystem}, {"tight", 40, HugeSystem},
		{"no limit, advise", noLimit, HugeAdvise}, {"no limit, collapse", noLimit, HugeCollapse},
		{"limit, collapse", 700, HugeCollapse}, {"tight, collapse", 40, HugeCollapse},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newPageModel(t, 2048, test.limit)
			if test.huge != HugeSystem {
				m.heap.spareHuge(test.huge)
			}
			for step := range 1500 {
				m.step()
				mustHold(t, m.heap.checkInvariants())
				m.checkUsed()
				if step%64 == 0 {
					m.checkClean()
				}
			}
			for len(m.runs) > 0 {
				m.release(len(m.runs) - 1)
			}
			mustHold(t, m.heap.checkInvariants())
			if free := m.heap.find(1); m.heap.used != 0 || m.heap.top > firstPage && m.heap.spans.at(free).pages != m.heap.top-firstPage {
				t.Errorf("all is free: %d pages used, a free span of %d of %d", m.heap.used, m.heap.spans.at(free).pages, m.heap.top-firstPage)
			}
		})
	}
}

// pageModel is a page heap and what should be in it.
type pageModel struct {
	t      *testing.T
	random *rand.Rand
	heap   *pageHeap
	size   uint32
	taken  []bool // by page
	used   int64
	runs   []pageRun
	stamps uint64
}

// pageRun is a run of pages in use, every page of which holds the stamp; or all
// of it is zero, and the stamp is too.
type pageRun struct {
	first, pages uint32
	stamp        uint64
}

func newPageModel(t *testing.T, pages uint32, limit int64) *pageModel {
	return &pageModel{t: t, random: steady.Random(t), heap: newPageHeap(t, pages, limit), size: pages, taken: make([]bool, pages)}
}

func (m *pageModel) step() {
	switch choice := m.random.IntN(100); {
	case choice < 2:
		m.releaseAll()
	case choice < 50 && len(m.runs) > 0:
		m.release(m.random.IntN(len(m.runs)))
	default:
		m.alloc()
	}
}

// randomRun returns a length and an alignment in pages.
func (m *pageModel) randomRun() (pages, align uint32) {
	pages, align = 1+m.random.Uint32N(8), 1
	switch m.random.IntN(10) {
	case 0:
		pages = 1 + m.random.Uint32N(m.size/2)
	case 1, 2:
		pages = 1 + m.random.Uint32N(200)
	}
	if m.random.IntN(4) == 0 {
		align = 1 << m.random.IntN(8)
	}
	return pages, align
}

func (m *pageModel) alloc() {
	m.t.Helper()
	pages, align := m.randomRun()
	first, dirty, err := m.heap.alloc(pages, align)
	if err != nil {
		m.checkError(pages, align, err)
		return
	}
	if m.used+int64(pages) > m.heap.budget.limit {
		m.t.Fatalf("%d pages on top of %d exceed the limit of %d", pages, m.used, m.heap.budget.limit)
	}
	if address := uintptr(m.heap.memory.Base) + uintptr(first)<<pageShift; address%(uintptr(align)<<pageShift) != 0 {
		m.t.Fatalf("a run at %#x is not aligned to %d pages", address, align)
	}
	for page := first; page < first+pages; page++ {
		if page < firstPage || page >= m.size || m.taken[page] {
			m.t.Fatalf("a run of %d pages at %d: page %d is in use or does not exist", pages, first, page)
		}
		m.taken[page] = true
	}
	run := pageRun{first: first, pages: pages}
	dirty = !m.checkFresh(first, pages, dirty)
	if dirty || m.random.IntN(3) > 0 {
		m.stamps++
		run.stamp = m.stamps
		m.mark(run)
	}
	m.used += int64(pages)
	m.runs = append(m.runs, run)
}

// checkFresh checks that the pages of a new run are zero that are said to be, and all of
// them once zeroFrom has cleared it, which it does to half of the runs. It reports whether
// the run is zero.
func (m *pageModel) checkFresh(first, pages uint32, dirty bool) (zero bool) {
	m.t.Helper()
	for page, mark := range m.heap.spans.goneOf(first, pages) {
		if !dirty && mark != fresh || mark&fresh != 0 && !isZero(m.heap.bytesOf(first+uint32(page), 1)) {
			m.t.Fatalf("page %d of a run of %d at %d, marked %#x, dirty: %t, is not zero", page, pages, first, mark, dirty)
		}
	}
	if dirty && m.random.IntN(2) > 0 {
		return false
	}
	memory := osmem.Range{Base: m.heap.memory.Base} // of page 0; all else changes meanwhile
	m.heap.spans.zeroFrom(&memory, first, 0, uintptr(pages)<<pageShift)
	if !isZero(m.heap.bytesOf(first, pages)) {
		m.t.Fatalf("a run of %d pages at %d was cleared, but is not zero", pages, first)
	}
	return true
}

// checkError checks that a run could not be had for the reason that err says.
func (m *pageModel) checkError(pages, align uint32, err error) {
	m.t.Helper()
	var limit *LimitError
	if over := m.used+int64(pages) > m.heap.budget.limit; over != errors.As(err, &limit) {
		m.t.Fatalf("%d pages on top of %d, limit %d: %v", pages, m.used, m.heap.budget.limit, err)
	}
	if limit != nil {
		want := LimitError{Want: int64(pages) << pageShift, InUse: m.used << pageShift, Limit: m.heap.budget.limit << pageShift, Name: "test"}
		if *limit != want || !errors.Is(err, ErrLimit) {
			m.t.Fatalf("%+v, want %+v", *limit, want)
		}
		return
	}
	free := uint32(0)
	for page := uint32(firstPage); page < m.size; page++ {
		if free++; m.taken[page] {
			free = 0
		}
		if free >= pages+align-1 {
			m.t.Fatalf("%d pages, aligned to %d, though %d are free up to page %d: %v", pages, align, free, page, err)
		}
	}
	if !errors.Is(err, ErrNoMemory) {
		m.t.Fatalf("%d pages, aligned to %d: %v", pages, align, err)
	}
}

// release gives a run back, after it has looked whether it is as it was.
func (m *pageModel) release(i int) {
	m.t.Helper()
	run := m.runs[i]
	m.checkRun(run)
	m.runs[i] = m.runs[len(m.runs)-1]
	m.runs = m.runs[:len(m.runs)-1]
	if m.taken != nil {
		clear(m.taken[run.first : run.first+run.pages])
	}
	m.used -= int64(run.pages)
	m.heap.release(run.first)
}

// releaseAll checks that free memory alone is returned, and all of it.
func (m *pageModel) releaseAll() {
	m.t.Helper()
	resident, before := m.heap.resident, m.heap.released
	if got, err := m.heap.trim(func() bool { return true }); err != nil || got != resident || m.heap.resident != 0 || m.heap.released != before+got {
		m.t.Fatalf("%d pages returned of %d, %d are left, %d in all after %d", got, resident, m.heap.resident, m.heap.released, before)
	}
	for _, run := range m.runs {
		m.checkRun(run)
	}
}

func (m *pageModel) mark(run pageRun) {
	for page := range run.pages {
		memory := m.heap.bytesOf(run.first+page, 1)
		binary.LittleEndian.PutUint64(memory, run.stamp)
		binary.LittleEndian.PutUint64(memory[PageSize-8:], run.stamp)
	}
}

func (m *pageModel) checkRun(run pageRun) {
	m.t.Helper()
	for page := range run.pages {
		memory := m.heap.bytesOf(run.first+page, 1)
		first, last := binary.LittleEndian.Uint64(memory), binary.LittleEndian.Uint64(memory[PageSize-8:])
		if first != run.stamp || last != run.stamp {
			m.t.Fatalf("page %d of a run in use holds %d and %d, want %d", run.first+page, first, last, run.stamp)
		}
	}
}

func (m *pageModel) checkUsed() {
	m.t.Helper()
	if m.heap.used != m.used {
		m.t.Fatalf("%d pages used, want %d", m.heap.used, m.used)
	}
}

// checkClean checks that free pages which are bare are zero.
func (m *pageModel) checkClean() {
	m.t.Helper()
	for first := uint32(firstPage); first < m.heap.top; first += m.heap.spans.at(first).pages {
		s := m.heap.spans.at(first)
		for page := first; s.state == spanFree && page < first+s.pages; page++ {
			if *m.heap.spans.goneAt(page) == bare && !isZero(m.heap.bytesOf(page, 1)) {
				m.t.Fatalf("free page %d is bare, but is not zero", page)
			}
		}
	}
}

// isZero compares the memory with itself, one byte further, which is as fast as
// the machine can.
func isZero(memory []byte) bool {
	return memory[0] == 0 && bytes.Equal(memory[:len(memory)-1], memory[1:])
}

// TestPageHeapMeanwhile lets goroutines take and give runs while memory is
// returned to the system outside the lock. There is always room for all of them,
// but for what is on its way: they must wait for that.
func TestPageHeapMeanwhile(t *testing.T) {
	const goroutines, noLimit = 6, math.MaxInt64 >> pageShift
	for name, test := range map[string]struct {
		limit, share      int64
		shortest, longest uint32
		huge              HugePages
	}{
		"limit":           {limit: 900, share: 900 / goroutines, shortest: 1, longest: 50},
		"limit, collapse": {limit: 900, share: 900 / goroutines, shortest: 1, longest: 50, huge: HugeCollapse},
		"advise":          {limit: noLimit, share: 1000 / goroutines, shortest: 1, longest: 50, huge: HugeAdvise},
		// Runs of one length leave no gaps that none of them fits.
		"range": {limit: noLimit, share: 2047 / 16 / goroutines * 16, shortest: 16, longest: 16},
	} {
		t.Run(name, func(t *testing.T) {
			random := steady.Random(t)
			h := newPageHeap(t, 2048, test.limit)
			if test.huge != HugeSystem {
				h.spareHuge(test.huge)
			}
			var all, trimmer sync.WaitGroup
			var stop atomic.Bool
			for range goroutines {
				m := &pageModel{t: t, random: rand.New(rand.NewPCG(random.Uint64(), 0)), heap: h}
				all.Go(func() {
					for range 3000 {
						m.meanwhile(test.share, test.shortest+m.random.Uint32N(test.longest-test.shortest+1))
					}
					for len(m.runs) > 0 {
						m.release(0)
					}
				})
			}
			trimmer.Go(func() {
				for !stop.Load() {
					h.trim(func() bool { return !stop.Load() })
				}
			})
			all.Wait()
			stop.Store(true)
			trimmer.Wait()
			mustHold(t, h.checkInvariants())
			if h.used != 0 || h.transit != 0 || h.spans.at(firstPage).pages != h.top-firstPage {
				t.Errorf("all is free: %d pages used, %d in transit, %d together of %d", h.used, h.transit, h.spans.at(firstPage).pages, h.top-firstPage)
			}
		})
	}
}

// meanwhile takes a run, or gives some back. Of the model only the runs are
// kept: the heap is not this goroutine's alone, but share pages of it are.
func (m *pageModel) meanwhile(share int64, pages uint32) {
	m.t.Helper()
	if m.used+int64(pages) > share {
		for range 1 + m.random.IntN(len(m.runs)) {
			m.release(m.random.IntN(len(m.runs)))
		}
		return
	}
	first, dirty, err := m.heap.alloc(pages, 1)
	if err != nil {
		m.t.Fatalf("%d pages on top of %d of %d: %v", pages, m.used, share, err)
	}
	m.checkFresh(first, pages, dirty)
	run := pageRun{first: first, pages: pages, stamp: m.random.Uint64() | 1}
	m.mark(run)
	m.used += int64(pages)
	m.runs = append(m.runs, run)
}

// TestPageHeapAwaits wants pages while all that are free are on their way to the
// system, as returnOne leaves them while it does not hold the lock.
func TestPageHeapAwaits(t *testing.T) {
	const size = 2048
	for name, limit := range map[string]int64{"limit": 100, "range": size - firstPage} {
		t.Run(name, func(t *testing.T) {
			h := newPageHeap(t, size, limit)
			first, _, err := h.alloc(uint32(limit), 1)
			if err != nil {
				t.Fatal(err)
			}
			h.release(first)
			h.mu.Lock()
			s := *h.take(first)
			h.resident += int64(s.resident)
			h.transit += int64(s.pages)
			h.mu.Unlock()
			result := make(chan error, 1)
			go func() {
				_, _, err := h.alloc(50, 1)
				result <- err
			}()
			select {
			case err := <-result:
				t.Fatalf("did not wait: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			h.mu.Lock()
			h.resident -= int64(s.resident)
			h.transit -= int64(s.pages)
			h.budget.charge(-int64(s.resident))
			s.resident = 0
			h.spans.setBare(first, s.pages)
			h.put(first, s)
			h.mu.Unlock()
			h.arrived.Broadcast()
			if err := <-result; err != nil {
				t.Error(err)
			}
			mustHold(t, h.checkInvariants())
		})
	}
}

// TestPageHeapGrows checks that new pages come together with the free ones
// before them, no more than are needed, and that the last page of the range can
// be had. Pages that were never used count as not resident.
func TestPageHeapGrows(t *testing.T) {
	const size = 2048
	h := newPageHeap(t, size, math.MaxInt64>>pageShift)
	at := uint32(firstPage)
	for _, step := range []struct{ pages, top uint32 }{
		{growPages - 3, firstPage + growPages},
		{5, firstPage + 2*growPages},
		{3 * growPages, firstPage + 4*growPages + granulePages}, // 2 more are needed
		{size - firstPage - 4*growPages - 2, size},
	} {
		first, dirty, err := h.alloc(step.pages, 1)
		if err != nil || dirty || first != at || h.top != step.top || h.resident != 0 {
			t.Fatalf("%d pages: at %d up to %d, %d resident, dirty: %t, %v; want at %d up to %d", step.pages, first, h.top, h.resident, dirty, err, at, step.top)
		}
		at += step.pages
		mustHold(t, h.checkInvariants())
		if _, _, err := h.alloc(size-at+1, 1); !errors.Is(err, ErrNoMemory) {
			t.Errorf("one page more than there is: %v", err)
		}
	}
	h.bytesOf(size-1, 1)[PageSize-1] = 1
}

// TestPageHeapRefusesAbsurd asks for what no range has.
func TestPageHeapRefusesAbsurd(t *testing.T) {
	h := newPageHeap(t, 2048, math.MaxInt64>>pageShift)
	for _, run := range [][2]uint32{{2048, 1}, {1, 2048}, {maxPages, 1}, {1, maxPages}, {math.MaxUint32, 1 << 31}} {
		if _, _, err := h.alloc(run[0], run[1]); !errors.Is(err, ErrNoMemory) {
			t.Errorf("%d pages aligned to %d: %v", run[0], run[1], err)
		}
	}
	mustHold(t, h.checkInvariants())
}
