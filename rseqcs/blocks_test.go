package rseqcs

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// testSizes are the classes of the tests, from class 1 on: smallest, two words, one
// with a tail in its span, a power of two, both sides of FineUpTo, largest. They are
// so many that numbers of two classes differ by a multiple of the smallest size.
var testSizes = []int{8, 16, 24, 64, 1024, 1152, 3072, 4096, 8192, 16384, MaxSmall}

// spanPagesOf returns the pages of a span of the class: it holds two objects at least.
func spanPagesOf(size int) int { return (2*size + 1<<PageShift - 1) >> PageShift }

// newClassTable computes a table as its comment says.
func newClassTable(sizes []int) *ClassTable {
	t := new(ClassTable)
	for i, size := range sizes {
		class := uint8(i + 1)
		objects := spanPagesOf(size) << PageShift / size
		t.Sizes[class] = uint32(size)
		t.Factors[class] = ^uint64(0)/uint64(size) + 1
		t.Bounds[class] = max(1, uint64(objects)*uint64(size)*t.Factors[class])
	}
	classOf := func(n int) uint8 { return uint8(1 + slices.IndexFunc(sizes, func(size int) bool { return size >= n })) }
	for i := range t.Fine[1:] {
		t.Fine[i+1] = classOf((i + 1) << FineShift)
	}
	for i := range t.Coarse[1:] {
		t.Coarse[i+1] = classOf((i + 1) << CoarseShift)
	}
	return t
}

// rangeOf returns a range of pages with the entries, and its check words.
func rangeOf(t *ClassTable, origin unsafe.Pointer, entries []PageEntry) Range {
	checks := make([]CheckWord, len(entries))
	for page, e := range entries {
		if e.Class() != 0 {
			checks[page] = t.CheckOf(e.Class(), e.Index(), uint32(page), noOwner)
		}
	}
	return Range{origin, uintptr(len(entries)) << PageShift, &entries[0], &checks[0]}
}

// alignedPages returns so many pages of Go memory behind an address that can be the
// origin of a range, and before pages in front of it.
func alignedPages(before, pages int) unsafe.Pointer {
	memory := make([]byte, (before+pages)<<PageShift+1<<OriginShift)
	first := unsafe.Pointer(&memory[before<<PageShift])
	return unsafe.Add(first, -uintptr(first)&(1<<OriginShift-1))
}

// blocksModel is a Blocks on a span of each class, and what it should do.
type blocksModel struct {
	Blocks
	t        *testing.T
	random   *rand.Rand
	stack    *Stack
	memory   osmem.Range
	pages    []PageEntry
	magazine [][]unsafe.Pointer // of each class, the newest last
	objects  [][]unsafe.Pointer // of each class's span
	lastSlow string             // the call that Slow got
	room     int                // objects in a magazine
}

const rangePages = 256

func newBlocksModel(t *testing.T, random *rand.Rand) *blocksModel {
	m := &blocksModel{t: t, random: random, pages: make([]PageEntry, rangePages), room: 3}
	memory, err := osmem.Reserve(rangePages<<PageShift, "blocks")
	if err != nil {
		t.Fatal(err)
	}
	if err := memory.Back(memory.Size); err != nil {
		t.Fatal(err)
	}
	m.memory = memory
	capacities := make([]Capacity, len(testSizes)+1)
	page := 1 // a free page before and between the spans
	m.magazine, m.objects = make([][]unsafe.Pointer, len(capacities)), make([][]unsafe.Pointer, len(capacities))
	for i, size := range testSizes {
		capacities[i+1] = Capacity{m.room, m.room}
		for index := range spanPagesOf(size) {
			m.pages[page+index] = EntryOf(uint8(i+1), uint32(index))
		}
		for offset := 0; offset+size <= spanPagesOf(size)<<PageShift; offset += size {
			m.objects[i+1] = append(m.objects[i+1], unsafe.Add(memory.Base, page<<PageShift+offset))
		}
		page += spanPagesOf(size) + 1
	}
	if m.stack, err = NewStack("blocks", capacities); err != nil {
		t.Fatal(err)
	}
	table := newClassTable(testSizes)
	m.Open(m.stack, table, rangeOf(table, memory.Base, m.pages), Slow{
		Alloc:       func(b *Blocks, n int) ([]byte, error) { return m.slow("Alloc", b, n) },
		AllocZeroed: func(b *Blocks, n int) ([]byte, error) { return m.slow("AllocZeroed", b, n) },
		Free: func(b *Blocks, block []byte) {
			m.slow("Free", b, fmt.Sprintf("%p, %d, %d", unsafe.SliceData(block), len(block), cap(block)))
		},
	})
	return m
}

func (m *blocksModel) close() {
	if err := m.stack.Close(); err != nil {
		m.t.Error(err)
	}
	if err := m.memory.Unmap(); err != nil {
		m.t.Error(err)
	}
}

// slowBlock and errSlow are what Slow returns, so that it is seen that they arrive.
var (
	slowBlock = make([]byte, 3, 5)
	errSlow   = fmt.Errorf("slow")
)

// slow records a call. It uses enough stack to make a goroutine's grow.
func (m *blocksModel) slow(name string, b *Blocks, argument any) ([]byte, error) {
	var stack [8 << 10]byte
	stack[m.random.IntN(len(stack))] = 1
	if b != &m.Blocks {
		m.t.Errorf("%s was given another Blocks", name)
	}
	m.lastSlow = fmt.Sprintf("%s(%v)", name, argument)
	return slowBlock, errSlow
}

// someSize returns a length to ask for, ordinary or not.
func (m *blocksModel) someSize() int {
	size := testSizes[m.random.IntN(len(testSizes))]
	odd := []int{0, -1, math.MinInt, MaxSmall + 1, math.MaxInt, math.MaxInt32, FineUpTo + 1, size + 1}
	if i := m.random.IntN(3 * len(odd)); i < len(odd) {
		return odd[i]
	}
	return max(1, size-m.random.IntN(8))
}

// someBlock returns a slice to free, of an object or of something else.
func (m *blocksModel) someBlock() []byte {
	class := 1 + m.random.IntN(len(testSizes))
	p, size := m.objects[class][m.random.IntN(len(m.objects[class]))], testSizes[class-1]
	if held := m.magazine[class]; len(held) > 0 && m.random.IntN(10) == 0 {
		p = held[len(held)-1] // the newest once more
	}
	switch m.random.IntN(20) {
	case 0:
		size = m.random.IntN(size + 1) // the capacity was cut
	case 7:
		size = testSizes[m.random.IntN(len(testSizes))] // to that of another class, or more
	case 1:
		p = unsafe.Add(p, m.random.IntN(size)) // inside, or the start after all
	case 2:
		p = unsafe.Add(m.memory.Base, m.random.IntN(rangePages)<<PageShift) // any page
	case 3:
		p = unsafe.Add(m.memory.Base, -1-m.random.IntN(1<<20))
	case 4:
		p = unsafe.Add(m.memory.Base, int(m.memory.Size)+m.random.IntN(1<<20))
	case 5:
		return nil
	case 6:
		size = MaxSmall + 1 + m.random.IntN(1<<20)
	}
	return blockFor(p, m.random.IntN(size+1), size)
}

// blockFor makes a slice without a look at the memory.
func blockFor(p unsafe.Pointer, length, capacity int) []byte {
	return *(*[]byte)(unsafe.Pointer(&struct {
		p                unsafe.Pointer
		length, capacity int
	}{p, length, capacity}))
}

// alloc asks for a block and compares. steady tells whether what came out counts.
func (m *blocksModel) alloc(zeroed bool, steady func() bool) bool {
	n := m.someSize()
	class := 0
	if n > 0 && n <= MaxSmall {
		class = 1 + slices.IndexFunc(testSizes, func(size int) bool { return size >= n })
	}
	name, call := "Alloc", m.Alloc
	if zeroed {
		name, call = "AllocZeroed", m.AllocZeroed
	}
	want, wantSlow, wantErr := slowBlock, fmt.Sprintf("%s(%d)", name, n), errSlow
	if held := m.magazine[class]; len(held) > 0 {
		p, size := held[len(held)-1], testSizes[class-1]
		want, wantSlow, wantErr = blockFor(p, n, size), "", error(nil)
		m.magazine[class] = held[:len(held)-1]
		for i := range want[:size] {
			want[:size][i] = 0xa5
		}
	}
	m.lastSlow = ""
	got, err := call(&m.Blocks, n)
	if !steady() {
		return false
	}
	if unsafe.SliceData(got) != unsafe.SliceData(want) || len(got) != len(want) || cap(got) != cap(want) || err != wantErr || m.lastSlow != wantSlow {
		m.t.Fatalf("%s(%d): %p, %d, %d, %v by %q; want %p, %d, %d, %v by %q", name, n,
			got, len(got), cap(got), err, m.lastSlow, want, len(want), cap(want), wantErr, wantSlow)
	}
	if words := *(*[2]uintptr)(unsafe.Pointer(&err)); err == nil && words != [2]uintptr{} {
		m.t.Fatalf("%s(%d): the words of the nil error are %#x", name, n, words) // the collector looks at them
	}
	if wantSlow == "" {
		filler := byte(0xa5)
		if zeroed {
			filler = 0
		}
		for i, value := range got[:cap(got)] {
			if value != filler {
				m.t.Fatalf("%s(%d): byte %d of %d is %#x", name, n, i, cap(got), value)
			}
		}
	}
	return true
}

// free frees a block and compares.
func (m *blocksModel) free(steady func() bool) bool {
	block := m.someBlock()
	p := unsafe.Pointer(unsafe.SliceData(block))
	class := m.ClassAt(p)
	wantSlow := fmt.Sprintf("Free(%p, %d, %d)", p, len(block), cap(block))
	if class != 0 && m.classes.Of(cap(block)) == class {
		held := m.magazine[class]
		if len(held) < m.room && (len(held) == 0 || held[len(held)-1] != p) {
			m.magazine[class], wantSlow = append(held, p), ""
		}
	}
	m.lastSlow = ""
	m.Free(&m.Blocks, block)
	if !steady() {
		return false
	}
	if m.lastSlow != wantSlow {
		m.t.Fatalf("Free(%p, %d, %d) of class %d: by %q, want %q", p, len(block), cap(block), class, m.lastSlow, wantSlow)
	}
	return true
}

// playBlocks runs random calls, and returns early when the thread leaves its vCPU.
func playBlocks(t *testing.T, random *rand.Rand) {
	m := newBlocksModel(t, random)
	defer m.close()
	id := m.stack.Here()
	for class := range testSizes {
		m.stack.Push(class+1, m.memory.Base) // sets the class up
		m.stack.Pop(class + 1)
	}
	// An abort leads to Slow as well, so a call during which there was one is not compared.
	before := ReadStats().Aborts
	steady := func() bool { return m.stack.Here() == id && ReadStats().Aborts == before }
	for range 3000 {
		ok := false
		switch random.IntN(4) {
		case 0:
			ok = m.alloc(false, steady)
		case 1:
			ok = m.alloc(true, steady)
		default:
			ok = m.free(steady)
		}
		if !ok {
			return
		}
	}
	m.Close()
	if _, err := m.Alloc(&m.Blocks, 8); err != errSlow || m.ClassAt(m.objects[1][0]) != 0 {
		t.Errorf("closed: error %v, class %d", err, m.ClassAt(m.objects[1][0]))
	}
}

// TestBlocksModel plays against a model on one vCPU, with the sections of this
// process and with the same in parts.
func TestBlocksModel(t *testing.T) {
	prepare()
	inParts := run
	inParts.alloc, inParts.allocZeroed, inParts.free = allocInParts, allocZeroedInParts, freeInParts
	for name, o := range map[string]operations{"sections": run, "in parts": inParts} {
		t.Run(name, func(t *testing.T) {
			before := run
			run = o
			defer func() { run = before }()
			random := steady.Random(t)
			for range 100 {
				aborts := ReadStats().Aborts
				if onOneVCPU(t, func() { playBlocks(t, random) }) && (stalled || ReadStats().Aborts == aborts) {
					return
				}
			}
			t.Fatal("this thread never stayed on one vCPU without an abort")
		})
	}
}
