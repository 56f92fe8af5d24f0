package alloc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// checkRegion checks the equations of a region that its comments state, and that
// its next byte lies in its current chunk.
func checkRegion(t testing.TB, r *Region) {
	t.Helper()
	size := 0
	if r.used > 0 {
		size = len(r.chunks[r.used-1])
	}
	if r.used > len(r.chunks) || r.room < 0 || r.room > size || r.dirty < 0 || r.dirty > size || (r.room|r.dirty|size)%regionAlign != 0 {
		t.Fatalf("%d of %d chunks used, the last of %d bytes: room %d, dirty %d", r.used, len(r.chunks), size, r.room, r.dirty)
	}
	if size > 0 && uintptr(r.end) != addressOf(r.chunks[r.used-1])+uintptr(size) {
		t.Fatalf("the end is %#x, of the chunk %#x", r.end, addressOf(r.chunks[r.used-1])+uintptr(size))
	}
}

// TestRegionServesNothingOfOthers asks for more than the smallest chunk, where the
// limit refuses the chunk that would come next.
func TestRegionServesNothingOfOthers(t *testing.T) {
	for _, n := range []int{64<<10 + 1, 100_000, 128 << 10, 200_000, 256 << 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			a := open(t, Options{Limit: 4 << 20})
			r := NewRegion(a, RegionOptions{})
			for r.used < 5 {
				must(t)(r.BytesUninit(2048))
			}
			must(t)(r.BytesUninit(r.room)) // the next one needs a chunk
			var others [][]byte
			for _, size := range []int{50_000, 8192} {
				for {
					b, err := a.AllocUninit(size)
					if err != nil {
						break
					}
					fill(b[:cap(b)], 0xaa)
					others = append(others, b)
				}
			}
			// More and more room: for no chunk, then for one that is too small.
			for range 8 {
				b, err := r.Bytes(n)
				checkRegion(t, r)
				if err == nil {
					fill(b[:cap(b)], 0x55)
					break
				}
				if !errors.Is(err, ErrLimit) {
					t.Fatalf("%v, want ErrLimit", err)
				}
				a.Free(others[0])
				others = others[1:]
			}
			for i, b := range others {
				if at := firstOther(b[:cap(b)], 0xaa); at >= 0 {
					t.Fatalf("block %d of %d: the region has handed out its byte %d", i, len(others), at)
				}
			}
			a.FreeBatch(others)
			r.Release()
			checkQuiet(t, a, 0)
		})
	}
}

// TestRegionModelAtFullLimits compares a region with the model while other blocks
// come and go, so that the limit refuses chunks, blocks of their own, or both.
func TestRegionModelAtFullLimits(t *testing.T) {
	random := steady.Random(t)
	refused := 0
	for range 40 {
		limit := int64(64<<10) << random.IntN(7)
		a := open(t, Options{Limit: limit + int64(random.IntN(8))*8192})
		m := &regionModel{t: t, r: NewRegion(a, RegionOptions{Chunk: oddSize(random), MaxChunk: oddSize(random)})}
		others := &regionModel{t: t}
		for range 300 {
			refused += m.step(random, a, others)
			checkRegion(t, m.r)
		}
		m.check()
		others.check()
		for _, b := range others.blocks {
			a.Free(b.bytes)
		}
		m.r.Release()
		checkQuiet(t, a, 0)
		a.Close()
	}
	if refused == 0 {
		t.Error("no request was refused: nothing is shown")
	}
}

// step does one random thing, and returns 1 if the region refused it.
func (m *regionModel) step(random *rand.Rand, a *Allocator, others *regionModel) (refused int) {
	switch what := random.IntN(100); {
	case what < 60:
		n := random.IntN(1 << random.IntN(21))
		zeroed := random.IntN(2) == 0
		state := m.r.Mark()
		get := m.r.BytesUninit
		if zeroed {
			get = m.r.Bytes
		}
		b, err := get(n)
		if err == nil {
			m.add(b, n, zeroed)
			return 0
		}
		if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrNoMemory) || m.r.Mark() != state {
			m.t.Fatalf("%d bytes: %v, and the region has changed: %t", n, err, m.r.Mark() != state)
		}
		for _, chunk := range m.r.chunks[m.r.used:] {
			if len(chunk) >= n {
				m.t.Fatalf("%d bytes: %v, though a chunk of %d is kept", n, err, len(chunk))
			}
		}
		return 1
	case what < 75:
		if b, err := a.AllocUninit(1 + random.IntN(1<<random.IntN(20))); err == nil {
			others.add(b, len(b), false)
		}
	case what < 85 && len(others.blocks) > 0:
		i := random.IntN(len(others.blocks))
		a.Free(others.blocks[i].bytes)
		others.blocks[i] = others.blocks[len(others.blocks)-1]
		others.blocks = others.blocks[:len(others.blocks)-1]
	case what < 90:
		m.marks = append(m.marks, regionModelMark{m.r.Mark(), len(m.blocks)})
	case what < 95 && len(m.marks) > 0:
		m.check()
		others.check()
		i := random.IntN(len(m.marks))
		m.r.Rewind(m.marks[i].mark)
		m.blocks, m.marks = m.blocks[:m.marks[i].blocks], m.marks[:i+1]
	case what < 97:
		m.check()
		others.check()
		m.r.Reset()
		m.blocks, m.marks = nil, nil
	case what == 99:
		m.check()
		m.r.Release()
		m.blocks, m.marks = nil, nil
	}
	return 0
}

// oddSize is a size of a chunk: the default, what is moved to a bound, and sizes
// that are no power of two and no multiple of 8.
func oddSize(random *rand.Rand) int {
	switch random.IntN(4) {
	case 0:
		return 0
	case 1:
		return -1 - random.IntN(1000)
	}
	return 1 + random.IntN(1<<random.IntN(22))
}

// TestRegionUsesKeptChunks fills the limit with chunks, which Reset keeps: what
// fits them is had, whatever its share of a chunk.
func TestRegionUsesKeptChunks(t *testing.T) {
	a := open(t, Options{Limit: 1 << 20})
	r := NewRegion(a, RegionOptions{})
	for {
		if _, err := r.BytesUninit(1024); err != nil {
			break
		}
	}
	largest := 0
	for _, chunk := range r.chunks {
		largest = max(largest, len(chunk))
	}
	if len(r.chunks) < 3 || largest < 128<<10 {
		t.Fatalf("%d chunks, the largest of %d bytes: nothing is shown", len(r.chunks), largest)
	}
	for _, n := range []int{largest, 40_000, largest/2 + 1} {
		r.Reset()
		b := must(t)(r.Bytes(n))
		if i := firstOther(b[:cap(b)], 0); i >= 0 {
			t.Errorf("%d bytes: byte %d is not zero", n, i)
		}
		checkRegion(t, r)
	}
	if _, err := r.Bytes(largest + 1); !errors.Is(err, ErrLimit) {
		t.Errorf("%v, want ErrLimit", err)
	}
	r.Release()
	checkQuiet(t, a, 0)
}

// TestRegionTakesSmallerChunks has room below the limit for a quarter of the next
// chunk: small requests share a chunk that fits there.
func TestRegionTakesSmallerChunks(t *testing.T) {
	for _, test := range []struct{ chunk, chunks int }{{0, 4}, {1 << 20, 2}, {largestChunk, 2}} {
		a := open(t, Options{Limit: 1 << 20})
		other := must(t)(a.Alloc(300 << 10))
		r := NewRegion(a, RegionOptions{Chunk: test.chunk})
		for len(r.chunks) < test.chunks {
			if _, err := r.BytesUninit(1000); err != nil || len(r.own) > 0 {
				t.Fatalf("Chunk %d: %d blocks of their own and %d chunks, %v", test.chunk, len(r.own), len(r.chunks), err)
			}
		}
		a.Free(other)
		r.Release()
		checkQuiet(t, a, 0)
	}
}

// TestRegionAppendStaysInItsMemory appends to a block of the allocator that ends
// where the region's chunk begins: growing it in place would make a slice of which
// the first part can be freed.
func TestRegionAppendStaysInItsMemory(t *testing.T) {
	const n = 1 << 10
	a := open(t, Options{})
	blocks := make(map[uintptr][]byte)
	for range 200 {
		b := must(t)(a.Alloc(n))
		blocks[addressOf(b)] = b
	}
	tried := 0
	for address, b := range blocks {
		before := blocks[address-n]
		if before == nil {
			continue
		}
		r := NewRegion(a, RegionOptions{Chunk: n})
		a.Free(b)
		must(t)(r.Bytes(8))
		if delete(blocks, address); addressOf(r.chunks[0]) != address {
			continue // the thread has moved to another vCPU
		}
		r.Reset()
		r.enter(1)
		tried++
		s, err := RegionAppend(r, before, 1)
		if err != nil {
			t.Fatal(err)
		}
		if addressOf(s) == address-n {
			t.Fatal("a block of the allocator has grown into the region")
		}
		if tried == 5 {
			return
		}
	}
	if tried == 0 {
		t.Error("no region began behind a block: nothing is shown")
	}
}

// TestRegionAppendFillsTheChunk grows a slice in place up to the last byte of the
// chunk, and not beyond.
func TestRegionAppendFillsTheChunk(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{Chunk: 4096})
	defer r.Release()
	s, err := RegionSlice[uint64](r, 1)
	if err != nil {
		t.Fatal(err)
	}
	first, fits := &s[0], 1+r.room/8
	if s, err = RegionAppend(r, s, make([]uint64, fits-1)...); err != nil || &s[0] != first || len(s) != fits || r.room != 0 {
		t.Fatalf("%d elements, moved: %t, room %d, %v", len(s), &s[0] != first, r.room, err)
	}
	checkRegion(t, r)
	if s, err = RegionAppend(r, s, 1); err != nil || &s[0] == first {
		t.Fatalf("grown past the end of the chunk: %t, %v", &s[0] == first, err)
	}
	checkRegion(t, r)
}

// TestRegionEmptyLiesNowhere asks for nothing where the chunk is full: the address
// behind it is that of another block.
func TestRegionEmptyLiesNowhere(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	defer r.Release()
	for range 3 {
		must(t)(r.BytesUninit(8))
		for name, get := range map[string]func(int) ([]byte, error){"Bytes": r.Bytes, "BytesUninit": r.BytesUninit,
			"Copy": func(int) ([]byte, error) { return r.Copy(nil) }} {
			if b := must(t)(get(0)); b == nil || len(b)+cap(b) != 0 || a.Owns(b) {
				t.Errorf("%s of 0 bytes: %v of capacity %d, in the allocator's memory: %t", name, b, cap(b), a.Owns(b))
			}
		}
		if s, err := RegionSlice[int](r, 0); err != nil || s == nil || a.Owns(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 0)) {
			t.Errorf("RegionSlice of 0 elements: %v, %v", s, err)
		}
		must(t)(r.BytesUninit(r.room))
	}
}

// TestRegionMarkOfAnotherChunk rewinds past a mark and lets another chunk take the
// place of the one that the mark was made in.
func TestRegionMarkOfAnotherChunk(t *testing.T) {
	a := open(t, Options{Limit: 1 << 20})
	r := NewRegion(a, RegionOptions{Chunk: 1 << 10, MaxChunk: 256 << 10})
	start := r.Mark()
	for r.used == 0 || len(r.chunks[r.used-1]) < 256<<10 {
		must(t)(r.BytesUninit(256))
	}
	stale := r.Mark()
	for {
		if _, err := r.BytesUninit(100); err != nil {
			break
		}
	}
	r.Rewind(start)
	must(t)(r.BytesUninit(200_000)) // the limit is full: a kept chunk, the large one
	if len(r.own) > 0 || len(r.chunks[0]) < 200_000 {
		t.Fatal("the chunks have not changed places: nothing is shown")
	}
	for r.used < stale.used || r.room > stale.room && r.used == stale.used {
		must(t)(r.BytesUninit(8))
	}
	checkRegion(t, r)
	mustMisuse(t, a, MisuseError{Op: "Rewind", Addr: uintptr(unsafe.Pointer(r))}, func() { r.Rewind(stale) })
	r.Release()
	checkQuiet(t, a, 0)
}
