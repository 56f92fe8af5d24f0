package alloc

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// regionModel is what a region should hold: every block with the byte that fills
// it, in the order of allocation, and the marks that are still good.
type regionModel struct {
	t      *testing.T
	r      *Region
	blocks []regionBlock
	marks  []regionModelMark
	next   byte
}

type regionBlock struct {
	bytes []byte
	value byte
}

type regionModelMark struct {
	mark   RegionMark
	blocks int
}

// add checks a new block and fills all of it, its capacity too.
func (m *regionModel) add(b []byte, n int, zeroed bool) {
	if len(b) != n || b == nil || cap(b) < n || addressOf(b)%regionAlign != 0 {
		m.t.Fatalf("%d bytes: length %d, capacity %d at %#x", n, len(b), cap(b), addressOf(b))
	}
	if i := firstOther(b[:cap(b)], 0); zeroed && i >= 0 {
		m.t.Fatalf("%d bytes: byte %d of %d is not zero", n, i, cap(b))
	}
	m.next++
	fill(b[:cap(b)], m.next)
	m.blocks = append(m.blocks, regionBlock{b[:cap(b)], m.next})
}

// check checks that no block has been written through another one.
func (m *regionModel) check() {
	for i, block := range m.blocks {
		if at := firstOther(block.bytes, block.value); at >= 0 {
			m.t.Fatalf("block %d of %d: byte %d of %d is overwritten", i, len(m.blocks), at, len(block.bytes))
		}
	}
}

// TestRegionModel does random things to a region and compares it with the model.
func TestRegionModel(t *testing.T) {
	random := steady.Random(t)
	a := open(t, Options{})
	m := &regionModel{t: t, r: NewRegion(a, RegionOptions{Chunk: 1 << random.IntN(15), MaxChunk: 32 << 10})}
	for range 20_000 {
		switch what := random.IntN(1000); {
		case what < 900:
			n := random.IntN(1 << random.IntN(16))
			if random.IntN(2) == 0 {
				b, err := m.r.Bytes(n)
				m.add(must(t)(b, err), n, true)
			} else {
				b, err := m.r.BytesUninit(n)
				m.add(must(t)(b, err), n, false)
			}
		case what < 950:
			m.marks = append(m.marks, regionModelMark{m.r.Mark(), len(m.blocks)})
		case what < 990 && len(m.marks) > 0:
			m.check()
			i := random.IntN(len(m.marks))
			m.r.Rewind(m.marks[i].mark)
			m.blocks, m.marks = m.blocks[:m.marks[i].blocks], m.marks[:i+1]
		case what < 996:
			m.check()
			m.r.Reset()
			m.blocks, m.marks = nil, nil
		case what < 998:
			m.check()
			m.r.Release()
			m.blocks, m.marks = nil, nil
			checkLive(t, a, 0)
		}
	}
	m.check()
	m.r.Release()
	checkQuiet(t, a, 0)
}

// TestRegionKeepsChunks does the same work again after Reset, for which the
// allocator is not asked, and Release gives all back.
func TestRegionKeepsChunks(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	work := func() {
		for range 40_000 {
			if _, err := r.BytesUninit(64); err != nil {
				t.Fatal(err)
			}
		}
	}
	work()
	live := a.Stats().Live
	if live < 40_000*64 || live > 40_000*64+2<<20 {
		t.Errorf("%d bytes live for %d", live, 40_000*64)
	}
	if n := testing.AllocsPerRun(5, func() { r.Reset(); work() }); n != 0 {
		t.Errorf("%v allocations on the Go heap", n)
	}
	checkQuiet(t, a, int(live))
	// 64 + 128 + 256 + 512 KiB, then 1 MiB each.
	if want := 6; len(r.chunks) != want {
		t.Errorf("%d chunks, want %d", len(r.chunks), want)
	}
	b, err := r.Bytes(700_000)
	if checkBlock(t, a, must(t)(b, err), 700_000); a.Stats().Live != live+int64(cap(b)) {
		t.Error("a large request took a chunk")
	}
	r.Reset()
	checkQuiet(t, a, int(live))
	r.Release()
	checkQuiet(t, a, 0)
	work()
	checkQuiet(t, a, int(live))
	r.Release()
	r.Release()
	checkQuiet(t, a, 0)
}

// TestRegionLimit fills a region up to the limit of its allocator.
func TestRegionLimit(t *testing.T) {
	const limit = 1 << 20
	a := open(t, Options{Limit: limit})
	r := NewRegion(a, RegionOptions{})
	total := 0
	for _, n := range []int{1000, 64} {
		for {
			before, state := a.Stats().Live, r.Mark()
			b, err := r.Bytes(n)
			if err != nil {
				var limited *LimitError
				if !errors.Is(err, ErrLimit) || !errors.As(err, &limited) || b != nil {
					t.Fatalf("%v, with %d bytes", err, len(b))
				}
				if a.Stats().Live != before || r.Mark() != state {
					t.Fatal("the error has changed the region")
				}
				break
			}
			total += n
		}
	}
	if total < limit*7/10 {
		t.Errorf("only %d bytes of %d could be had", total, limit)
	}
	if _, err := r.Bytes(limit); !errors.Is(err, ErrLimit) {
		t.Errorf("%v, want ErrLimit", err)
	}
	r.Release()
	checkQuiet(t, a, 0)
	if b, err := r.Bytes(64); err != nil || len(b) != 64 {
		t.Errorf("after Release: %v", err)
	}
	r.Release()
}

// TestRegionErrors asks for what cannot be.
func TestRegionErrors(t *testing.T) {
	a := open(t, Options{Name: "small"})
	r := NewRegion(a, RegionOptions{})
	for _, n := range []int{math.MaxInt, math.MaxInt - 3, math.MaxInt / 2, math.MaxInt &^ 7} {
		if _, err := r.Bytes(n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v, want ErrTooLarge", n, err)
		}
		if _, err := r.BytesUninit(n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v, want ErrTooLarge", n, err)
		}
		if _, err := RegionSlice[int64](r, n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d elements: %v, want ErrTooLarge", n, err)
		}
		must(t)(r.Bytes(10)) // now with a chunk
	}
	for _, n := range []int{-1, -7, -8, -64, math.MinInt} {
		for name, call := range map[string]func(){
			"Bytes":       func() { r.Bytes(n) },
			"BytesUninit": func() { r.BytesUninit(n) },
			"RegionSlice": func() { RegionSlice[int](r, n) },
		} {
			if err, _ := panicOf(call).(error); err == nil || !strings.Contains(err.Error(), "makeslice") {
				t.Errorf("%s(%d) panics with %v, want make's", name, n, err)
			}
		}
	}
	if _, err := RegionNew[list](r); !errors.Is(err, ErrPointers) {
		t.Errorf("%v, want ErrPointers", err)
	}
	if _, err := RegionSlice[string](r, 0); !errors.Is(err, ErrPointers) {
		t.Errorf("%v, want ErrPointers", err)
	}
	if s, err := RegionAppend(r, []string{"a"}, "b"); !errors.Is(err, ErrPointers) || len(s) != 1 {
		t.Errorf("%v and %q, want ErrPointers", err, s)
	}
	r.Release()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Bytes(10); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// TestRegionMisuse uses marks that are good no more.
func TestRegionMisuse(t *testing.T) {
	a := open(t, Options{})
	r, other := NewRegion(a, RegionOptions{}), NewRegion(a, RegionOptions{})
	for name, mark := range map[string]func() RegionMark{
		"zero":    func() RegionMark { return RegionMark{} },
		"another": other.Mark,
		"Reset":   func() RegionMark { m := r.Mark(); r.Reset(); return m },
		"Release": func() RegionMark { m := r.Mark(); r.Release(); return m },
		"later": func() RegionMark {
			early := r.Mark()
			r.BytesUninit(8)
			m := r.Mark()
			r.Rewind(early)
			return m
		},
		"later, by a block of its own": func() RegionMark {
			early := r.Mark()
			r.BytesUninit(100_000)
			m := r.Mark()
			r.Rewind(early)
			return m
		},
		"later, by a chunk": func() RegionMark {
			r.Reset()
			early := r.Mark()
			r.BytesUninit(8)
			m := r.Mark()
			r.Rewind(early)
			return m
		},
	} {
		must(t)(r.Bytes(100))
		m := mark()
		t.Run(name, func(t *testing.T) {
			mustMisuse(t, a, MisuseError{Op: "Rewind", Addr: uintptr(unsafe.Pointer(r))}, func() { r.Rewind(m) })
		})
	}
	r.Release()
	checkQuiet(t, a, 0)
}

// TestRegionTyped gets zero values at their alignment, with others between.
func TestRegionTyped(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{Chunk: 1})
	for round := range 3 {
		for i := range 2000 {
			must(t)(r.BytesUninit(i % 13))
			p, err := RegionNew[plain](r)
			if err != nil || *p != (plain{}) || uintptr(unsafe.Pointer(p))%unsafe.Alignof(*p) != 0 {
				t.Fatalf("round %d: %+v at %p, %v", round, p, p, err)
			}
			*p = plain{Number: -1, Inner: struct{ A, B float64 }{1, 1}}
			s, err := RegionSlice[[3]byte](r, i%50)
			if err != nil || len(s) != i%50 || s == nil || cap(s) > i%50+2 {
				t.Fatalf("round %d: length %d, capacity %d, %v", round, len(s), cap(s), err)
			}
			for j := range s[:cap(s)] {
				if s[:cap(s)][j] != [3]byte{} {
					t.Fatalf("round %d: element %d is %v", round, j, s[:cap(s)][j])
				}
				s[:cap(s)][j] = [3]byte{1, 2, 3}
			}
		}
		r.Reset()
	}
	nothing, err := RegionNew[struct{}](r)
	none, errNone := RegionSlice[[0]int](r, 5)
	if err != nil || nothing == nil || errNone != nil || len(none) != 5 {
		t.Errorf("%p, %v, %d, %v", nothing, err, len(none), errNone)
	}
	r.Release()
	checkQuiet(t, a, 0)
}

// TestRegionCopies copies strings and bytes.
func TestRegionCopies(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	defer r.Release()
	source := []byte("not on the Go heap")
	text, err := r.String(string(source))
	b, errCopy := r.Copy(source)
	if err != nil || errCopy != nil || text != string(source) || string(b) != text {
		t.Fatalf("%q, %q, %v, %v", text, b, err, errCopy)
	}
	clear(source)
	if text != "not on the Go heap" || string(b) != text || !a.Owns(b) || !a.Owns(unsafe.Slice(unsafe.StringData(text), 1)) {
		t.Errorf("%q, %q", text, b)
	}
	if i := firstOther(b[len(b):cap(b)], 0); i >= 0 {
		t.Errorf("byte %d behind the copy is not zero", i)
	}
	if text, err := r.String(""); err != nil || text != "" {
		t.Errorf("%q, %v", text, err)
	}
	if b, err := r.Copy(nil); err != nil || b == nil || len(b) != 0 {
		t.Errorf("%v, %v", b, err)
	}
}

// TestRegionAppend compares with append on the Go heap, for slices that take
// turns and are cut at random.
func TestRegionAppend(t *testing.T) {
	random := steady.Random(t)
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	var got, want [3][]uint16
	for i := range 20_000 {
		which := random.IntN(len(got))
		if random.IntN(20) == 0 && len(got[which]) > 0 {
			// What is behind the cut must stay, for whoever has it.
			n := random.IntN(len(got[which]))
			behind, expected := got[which][n:], want[which][n:]
			got[which], want[which] = got[which][:n:n], want[which][:n:n]
			var err error
			if got[which], err = RegionAppend(r, got[which], uint16(i)); err != nil {
				t.Fatal(err)
			}
			want[which] = append(want[which], uint16(i))
			if !slices.Equal(behind, expected) {
				t.Fatalf("append to a slice that was cut to %d has overwritten what follows", n)
			}
			continue
		}
		elements := make([]uint16, random.IntN(9))
		for j := range elements {
			elements[j] = uint16(random.Uint32())
		}
		var err error
		if got[which], err = RegionAppend(r, got[which], elements...); err != nil {
			t.Fatal(err)
		}
		want[which] = append(want[which], elements...)
		if cap(got[which]) > 0 && !a.Owns(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(got[which]))), 1)) {
			t.Fatal("append has left the region")
		}
	}
	for i := range got {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("slice %d differs: length %d, want %d", i, len(got[i]), len(want[i]))
		}
	}
	r.Release()
	checkQuiet(t, a, 0)
}

// TestRegionAppendInPlace appends to the newest slice, which does not move, and
// takes no more than it needs.
func TestRegionAppendInPlace(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	defer r.Release()
	s, err := RegionSlice[int32](r, 1)
	if err != nil {
		t.Fatal(err)
	}
	first := &s[0]
	for i := range 1000 {
		if s, err = RegionAppend(r, s, int32(i)); err != nil {
			t.Fatal(err)
		}
	}
	if &s[0] != first || len(s) != 1001 || s[1000] != 999 || cap(s) > 1002 {
		t.Errorf("length %d, capacity %d, moved: %t", len(s), cap(s), &s[0] != first)
	}
	must(t)(r.Bytes(8))
	if s, err = RegionAppend(r, s[:cap(s)], 1); err != nil || &s[0] == first || cap(s) < 2002 {
		t.Errorf("capacity %d, moved: %t, %v", cap(s), &s[0] != first, err)
	}
}
