package arena

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// runsModel is the central list of one class, and the objects of it that are in use.
type runsModel struct {
	h       *Heap
	class   uint8
	inUse   map[unsafe.Pointer]bool
	order   []unsafe.Pointer // the same, and objects that have been freed
	doubles int64
}

// take takes up to count objects and checks that each is a new one.
func (m *runsModel) take(t *testing.T, count int) {
	t.Helper()
	into := make([]unsafe.Pointer, count)
	n, err := m.h.takeObjects(m.h.nodes[0], m.class, into)
	if err != nil || n == 0 {
		t.Fatalf("class %d: %d of %d objects, %v", m.class, n, count, err)
	}
	for _, object := range into[:n] {
		if m.inUse[object] || m.h.ClassAt(object) != m.class {
			t.Fatalf("class %d: %p is in use, or no object", m.class, object)
		}
		m.inUse[object] = true
		*(*uint64)(object) = uint64(uintptr(object))
	}
	m.order = append(m.order, into[:n]...)
}

// give frees a list in which there may be any address, and compares what is found of it.
func (m *runsModel) give(t *testing.T, list []unsafe.Pointer) {
	t.Helper()
	var want unsafe.Pointer
	for _, object := range list {
		if m.inUse[object] {
			delete(m.inUse, object)
		} else {
			want = cmp.Or(want, object)
			m.doubles++
		}
	}
	if twice := m.h.giveObjects(m.class, slices.Clone(list)); twice != want {
		t.Fatalf("class %d: %p is said to have been free, want %p", m.class, twice, want)
	}
	if given, doubles := m.h.nodes[0].central[m.class].given, m.h.doubleFrees.Load(); given != int64(len(m.inUse)) || doubles != m.doubles {
		t.Fatalf("class %d: %d objects in use are counted as %d, %d double frees as %d", m.class, len(m.inUse), given, m.doubles, doubles)
	}
}

// list returns addresses in the order in which a program might free them: runs of a span,
// in order and in reverse, single ones at random, and some that are wrong.
func (m *runsModel) list(random *rand.Rand, count int) (list []unsafe.Pointer) {
	for len(list) < count && len(m.order) > 0 {
		at, length := random.IntN(len(m.order)), 1+random.IntN(1+count/2)
		part := slices.Clone(m.order[at:min(len(m.order), at+length)])
		switch random.IntN(12) {
		case 0:
			slices.Reverse(part)
		case 1: // and once more
			part = append(part, part[0])
		case 2: // the middle of an object
			part = append(part, unsafe.Add(part[0], 8+8*random.IntN(int(classes[m.class].size)/8)))
		case 3: // an address that nothing is known of
			part = append(part, unsafe.Add(part[0], 8*random.IntN(1<<14)))
		case 4: // stays in order, so that it may be freed again
			list = append(list, part...)
			continue
		}
		list = append(list, part...)
		m.order = slices.Delete(m.order, at, min(len(m.order), at+length))
	}
	return list[:min(len(list), maxBatch)]
}

// TestRunsAgainstModel compares the central list of several classes, whose spans have one
// word of bits and many, with a set of the objects that are in use.
func TestRunsAgainstModel(t *testing.T) {
	random := steady.Random(t)
	for _, size := range []int{8, 48, 64, 72, 448, 1152, 5120, 8192, 40960} {
		m := &runsModel{h: openHeap(t, 64<<20, 0), class: ClassOf(size), inUse: map[unsafe.Pointer]bool{}}
		for step := range 600 {
			// Not beyond a span, since a wrong address may lie anywhere in the range.
			if len(m.inUse) < 64 || random.IntN(100) < 50-20*(step/100%2) {
				m.take(t, 1+random.IntN(maxBatch))
			} else {
				m.give(t, m.list(random, 1+random.IntN(maxBatch)))
			}
			if step%10 == 0 {
				mustHold(t, m.h.CheckInvariants())
			}
		}
		for object := range m.inUse {
			if *(*uint64)(object) != uint64(uintptr(object)) {
				t.Fatalf("class %d: the object at %p was written to", m.class, object)
			}
		}
		left := make([]unsafe.Pointer, 0, len(m.inUse))
		for object := range m.inUse {
			left = append(left, object)
		}
		for list := range slices.Chunk(left, maxBatch) {
			m.give(t, list)
		}
		mustHold(t, m.h.CheckInvariants())
		if spans, used := m.h.nodes[0].central[m.class].spans, m.h.nodes[0].pages.used; spans != 0 || used != 0 {
			t.Errorf("class %d: all objects are free, %d spans and %d pages are not", m.class, spans, used)
		}
	}
}

// TestFullnessIsExact: a span lies in the list that the division says, and each is used.
func TestFullnessIsExact(t *testing.T) {
	table := newSpanTable(t, 4*growPages)
	if err := table.back(2 * growPages); err != nil {
		t.Fatal(err)
	}
	const page = firstPage
	for class := uint8(1); class < classCount; class++ {
		table.at(page).class = class
		per := classes[class].perSpan
		for free := range per + 1 {
			if got, want := new(fullness).listOf(table, page, free), int(free*fullnessLists/(per+1)); got != want {
				t.Fatalf("class %d: with %d objects of %d free in list %d, want %d", class, free, per, got, want)
			}
		}
	}
}

// TestTakeWord takes objects of a word in all forms: whole, with fewer than there is room
// for, with more, and of none.
func TestTakeWord(t *testing.T) {
	random := steady.Random(t)
	const size = 24
	var memory [64 * size]byte
	start := unsafe.Pointer(&memory)
	for _, before := range []uint64{0, 1, 1 << 63, ^uint64(0), ^uint64(0) - 1, ^uint64(0) >> 1, random.Uint64(), random.Uint64()} {
		for _, room := range []int{0, 1, 17, 63, 64, 65, 128} {
			word, into := before, make([]unsafe.Pointer, room)
			n := takeWord(&word, start, size, into)
			left, want := before, []unsafe.Pointer{}
			for bit := range 64 {
				if before>>bit&1 != 0 && len(want) < room {
					want = append(want, unsafe.Add(start, bit*size))
					left &^= 1 << bit
				}
			}
			if word != left || !slices.Equal(into[:n], want) {
				t.Errorf("of %#x with room for %d: %d objects and %#x, want %d and %#x", before, room, n, word, len(want), left)
			}
		}
	}
}
