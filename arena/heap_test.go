package arena

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// heapModel is what one goroutine has of a heap.
type heapModel struct {
	t      *testing.T
	random *rand.Rand
	heap   *Heap
	blocks []modelBlock
	live   int64 // bytes
	most   int64 // bytes to hold at the most
	mark   uint64
}

// modelBlock is a block whose first and last word hold its mark.
type modelBlock struct {
	address unsafe.Pointer
	size    int
	mark    uint64
}

// step allocates or frees one block.
func (m *heapModel) step() {
	if m.live > m.most || len(m.blocks) > 0 && m.random.IntN(100) < 48 {
		m.free(m.random.IntN(len(m.blocks)))
		return
	}
	n := 1 + m.random.IntN(1<<m.random.IntN(15))
	if m.random.IntN(50) == 0 {
		n = 1 + m.random.IntN(1<<20)
	}
	m.alloc(n)
}

func (m *heapModel) alloc(n int) {
	m.t.Helper()
	var address unsafe.Pointer
	var err error
	size, dirty := PagesFor(n)<<pageShift, true
	if n <= MaxSmall {
		size = ClassSize(ClassOf(n))
		address, err = m.heap.Alloc(ClassOf(n))
	} else {
		address, dirty, err = m.heap.AllocLarge(n, 1)
	}
	if err != nil {
		m.checkError(n, err)
		return
	}
	if got := m.heap.UsableSize(address); got != size || !m.heap.Owns(address) {
		m.t.Fatalf("a block of %d bytes has %d, want %d, and is owned: %t", n, got, size, m.heap.Owns(address))
	}
	if !dirty && !isZero(bytesAt(address, size)) {
		m.t.Fatalf("a block of %d bytes is said to be clean, but is not zero", size)
	}
	m.mark++
	b := modelBlock{address, size, m.mark}
	b.write()
	m.blocks = append(m.blocks, b)
	m.live += int64(size)
}

// checkError accepts the errors that a heap has when it is full.
func (m *heapModel) checkError(n int, err error) {
	m.t.Helper()
	var limit *LimitError
	if errors.As(err, &limit) == errors.Is(err, ErrLimit) && (limit != nil || errors.Is(err, ErrNoMemory)) {
		return
	}
	m.t.Fatalf("%d bytes: %v", n, err)
}

func (m *heapModel) free(i int) {
	m.t.Helper()
	b := m.blocks[i]
	m.blocks[i] = m.blocks[len(m.blocks)-1]
	m.blocks = m.blocks[:len(m.blocks)-1]
	m.live -= int64(b.size)
	if !b.isIntact() {
		m.t.Fatalf("a block of %d bytes does not hold its mark", b.size)
	}
	class := m.heap.ClassAt(b.address)
	switch {
	case b.size > MaxSmall && !m.heap.FreeLarge(b.address):
		m.t.Fatalf("a block of %d bytes could not be freed", b.size)
	case b.size > MaxSmall:
	case ClassSize(class) != b.size:
		m.t.Fatalf("a block of %d bytes is of the class of %d", b.size, ClassSize(class))
	default:
		if twice := m.heap.Free(class, b.address); twice != nil {
			m.t.Fatalf("block %p is said to be free already", twice)
		}
	}
}

func (b modelBlock) write() {
	binary.LittleEndian.PutUint64(bytesAt(b.address, b.size)[b.size-8:], b.mark)
	binary.LittleEndian.PutUint64(bytesAt(b.address, b.size), b.mark)
}

func (b modelBlock) isIntact() bool {
	memory := bytesAt(b.address, b.size)
	return binary.LittleEndian.Uint64(memory) == b.mark && binary.LittleEndian.Uint64(memory[b.size-8:]) == b.mark
}

// checkQuiet checks a heap that nobody uses, of which live bytes are with the
// program.
func checkQuiet(t *testing.T, h *Heap, live int64) {
	t.Helper()
	mustHold(t, h.CheckInvariants())
	s := h.Stats()
	if s.Live != live {
		t.Fatalf("%d bytes live, want %d", s.Live, live)
	}
	if sum := s.Live + s.CachedVCPU + s.CachedTransfer + s.CachedCentral + s.Tails + s.PageHeapFree; s.Backed+s.Gone != sum {
		t.Fatalf("%d bytes backed, but the parts make %d", s.Backed+s.Gone, sum)
	}
	if s.Limit > 0 && s.Backed > s.Limit {
		t.Fatalf("%d bytes backed, above the limit of %d", s.Backed, s.Limit)
	}
	if h.budget.Below() == 0 && s.Charged != s.Backed+s.GoneCharged || s.GoneCharged >= int64(len(h.nodes))<<pageShift {
		t.Fatalf("%d bytes backed and %d gone that count, but %d charged", s.Backed, s.GoneCharged, s.Charged)
	}
}

// TestHeapModel plays random operations against a model, in a range and below
// limits that both get full.
func TestHeapModel(t *testing.T) {
	for _, test := range []struct {
		name        string
		limit, most int64
	}{{"no limit", 0, 8 << 20}, {"full range", 0, 1 << 40}, {"limit", 4 << 20, 3 << 20}, {"full limit", 4 << 20, 1 << 40}} {
		t.Run(test.name, func(t *testing.T) {
			h := openHeap(t, MinReserve, test.limit)
			m := &heapModel{t: t, random: steady.Random(t), heap: h, most: test.most}
			for step := range 20_000 {
				m.step()
				switch {
				case step%200 == 0:
					checkQuiet(t, h, m.live)
				case step%999 == 0:
					h.Trim(func() bool { return true })
					checkQuiet(t, h, m.live)
				}
			}
			for len(m.blocks) > 0 {
				m.free(0)
			}
			checkQuiet(t, h, 0)
		})
	}
}

// TestHeapConcurrent lets many goroutines play at once and looks when all of
// them have stopped.
func TestHeapConcurrent(t *testing.T) {
	const goroutines, limit = 8, 10 << 20
	random := steady.Random(t)
	h := openHeap(t, 64<<20, limit)
	models := make([]*heapModel, goroutines)
	for i := range models {
		models[i] = &heapModel{t: t, random: rand.New(rand.NewPCG(random.Uint64(), 0)), heap: h, most: 2 << 20, mark: uint64(i) << 32}
	}
	for range 4 {
		var all, trimmer sync.WaitGroup
		var stop atomic.Bool
		h.ReleaseAfter(2 * time.Millisecond)
		for _, m := range models {
			all.Go(func() {
				// Fatalf is for the test's own goroutine, so a failure ends only this one.
				for range 2000 {
					m.step()
				}
			})
		}
		trimmer.Go(func() {
			for !stop.Load() {
				h.Trim(func() bool { return !stop.Load() })
			}
		})
		all.Wait()
		stop.Store(true)
		trimmer.Wait()
		h.upkeep.end()
		// Everybody gives their blocks to the next, who frees them.
		for i := range goroutines - 1 {
			m, next := models[i], models[i+1]
			m.blocks, next.blocks = next.blocks, m.blocks
			m.live, next.live = next.live, m.live
		}
		live := int64(0)
		for _, m := range models {
			live += m.live
		}
		checkQuiet(t, h, live)
		h.Trim(func() bool { return true })
		checkQuiet(t, h, live)
	}
}

// TestHeapOpenRefuses checks the bounds of a reservation.
func TestHeapOpenRefuses(t *testing.T) {
	for _, reserve := range []int64{-1, 0, MinReserve - 1, MaxReserve + 1} {
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: reserve, Budget: NewBudget("test", nil, 0, 0)}); err == nil {
			t.Errorf("%d bytes: no error", reserve)
			h.Close()
		}
	}
}

// TestHeapIsFull fills the range with objects: then there is ErrNoMemory, until
// something is freed.
func TestHeapIsFull(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	class := ClassOf(64 << 10)
	var blocks []unsafe.Pointer
	for {
		block, err := h.Alloc(class)
		if err != nil {
			if !errors.Is(err, ErrNoMemory) || errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			break
		}
		blocks = append(blocks, block)
	}
	if got, want := len(blocks), (MinReserve-firstPage*PageSize)/(64<<10); got != want {
		t.Errorf("%d blocks in %d bytes, want %d", got, MinReserve, want)
	}
	if _, _, err := h.AllocLarge(MaxSmall+1, 1); !errors.Is(err, ErrNoMemory) {
		t.Errorf("a large block in a full range: %v", err)
	}
	checkQuiet(t, h, int64(len(blocks))<<16)
	// What the caches hold is had back for a block of another kind.
	for _, block := range blocks {
		h.Free(class, block)
	}
	large, _, err := h.AllocLarge(MinReserve-32*PageSize, 1)
	if err != nil && h.Stats().CachedVCPU == 0 {
		t.Errorf("all is free, but: %v", err)
	}
	if err == nil && !h.FreeLarge(large) {
		t.Error("the block could not be freed")
	}
	checkQuiet(t, h, 0)
}

// TestHeapLimit fails at the limit, and not after a block was freed.
func TestHeapLimit(t *testing.T) {
	const limit = 1 << 20
	h := openHeap(t, MinReserve, limit)
	block, _, err := h.AllocLarge(limit, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := h.Alloc(ClassOf(100))
		var over *LimitError
		if want := (LimitError{Want: PageSize, InUse: limit, Limit: limit, Name: "test"}); !errors.As(err, &over) || *over != want {
			t.Fatalf("%v, want %+v", err, want)
		}
		checkQuiet(t, h, limit)
	}
	h.FreeLarge(block)
	small, err := h.Alloc(ClassOf(100))
	if err != nil {
		t.Fatal(err)
	}
	checkQuiet(t, h, int64(ClassSize(ClassOf(100))))
	h.Free(ClassOf(100), small)
}

// TestHeapReclaims takes back what this vCPU's magazine and the transfer cache
// hold before it refuses. It tries until the thread has stayed on one vCPU.
func TestHeapReclaims(t *testing.T) {
	const limit = 2 << 20
	for name, alloc := range map[string]func(h *Heap) error{
		"large": func(h *Heap) error { _, _, err := h.AllocLarge(limit, 1); return err },
		"small": func(h *Heap) error {
			for pages := int64(0); pages < limit/PageSize; pages++ {
				h.nodes[0].pages.alloc(1, 1) // until only the caches have any
			}
			_, err := h.Alloc(ClassOf(100))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			for range 100 {
				h := openHeap(t, MinReserve, limit)
				steady.OnOneVCPU(t, func() {
					fillCaches(t, h, ClassOf(32<<10), limit>>15)
					err = alloc(h)
				})
				if err == nil {
					return
				}
			}
			t.Fatalf("all blocks are free, but in the last try: %v", err)
		})
	}
}

// fillCaches allocates blocks of a class and frees all of them.
func fillCaches(t *testing.T, h *Heap, class uint8, count int) {
	t.Helper()
	blocks := make([]unsafe.Pointer, count)
	for i := range blocks {
		var err error
		if blocks[i], err = h.Alloc(class); err != nil {
			t.Fatal(err)
		}
	}
	for _, block := range blocks {
		h.Free(class, block)
	}
	if s := h.Stats(); s.CachedVCPU == 0 || s.CachedTransfer == 0 {
		t.Fatalf("no caches hold anything: %+v", *s)
	}
}

// TestHeapWithoutMagazines works as a thread does that has no slab, or has
// changed its vCPU between two steps: a magazine without any room.
func TestHeapWithoutMagazines(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	none, err := rseqcs.NewStack("test", make([]rseqcs.Capacity, classCount))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Magazines.Close(); err != nil {
		t.Fatal(err)
	}
	h.Magazines = *none
	m := &heapModel{t: t, random: steady.Random(t), heap: h, most: 4 << 20}
	for step := range 5000 {
		if m.step(); step%100 == 0 {
			checkQuiet(t, h, m.live)
		}
	}
	for len(m.blocks) > 0 {
		m.free(0)
	}
	checkQuiet(t, h, 0)
}
