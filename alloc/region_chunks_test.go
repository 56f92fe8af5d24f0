package alloc

import (
	"errors"
	"slices"
	"testing"
	"unsafe"
)

// TestRegionOptions: chunks begin at Chunk and double up to MaxChunk, within the limits.
func TestRegionOptions(t *testing.T) {
	const kib = 1 << 10
	a := open(t, Options{})
	for _, row := range []struct {
		o          RegionOptions
		first, max int
	}{
		{RegionOptions{}, 64 * kib, 1024 * kib},
		{RegionOptions{Chunk: 1}, kib, 1024 * kib},
		{RegionOptions{Chunk: kib}, kib, 1024 * kib},
		{RegionOptions{Chunk: kib + 1}, kib + 1, 1024 * kib},
		{RegionOptions{Chunk: -1}, kib, 1024 * kib},
		{RegionOptions{Chunk: 2048 * kib}, 2048 * kib, 2048 * kib},
		{RegionOptions{Chunk: 1 << 30}, 1 << 30, 1 << 30},
		{RegionOptions{Chunk: 1<<31 - 1}, 1 << 30, 1 << 30},
		{RegionOptions{MaxChunk: 1}, 64 * kib, 64 * kib},
		{RegionOptions{MaxChunk: 128 * kib}, 64 * kib, 128 * kib},
		{RegionOptions{MaxChunk: 1<<31 - 1}, 64 * kib, 1 << 30},
		{RegionOptions{Chunk: 8 * kib, MaxChunk: 4 * kib}, 8 * kib, 8 * kib},
	} {
		if r := NewRegion(a, row.o); r.first != row.first || r.max != row.max || r.room != 0 || r.used != 0 {
			t.Errorf("%+v: from %d to %d bytes, want %d to %d", row.o, r.first, r.max, row.first, row.max)
		}
	}
	r := NewRegion(a, RegionOptions{Chunk: 4 * kib, MaxChunk: 20 * kib})
	for range 5 {
		for r.room > 0 {
			must(t)(r.BytesUninit(8))
		}
		must(t)(r.BytesUninit(8))
	}
	var got []int
	for _, chunk := range r.chunks {
		got = append(got, len(chunk))
	}
	if want := []int{4 * kib, 8 * kib, 16 * kib, GoodSize(20 * kib), GoodSize(20 * kib)}; !slices.Equal(got, want) {
		t.Errorf("chunks of %v bytes, want %v", got, want)
	}
	r.Release()
}

// TestRegionShare: a request of up to a quarter of the next chunk begins it, a larger one
// that the current chunk has no room for gets a block of its own, and both are zero.
func TestRegionShare(t *testing.T) {
	const chunk = 4 << 10
	a := open(t, Options{})
	for _, row := range []struct {
		n   int
		own bool
	}{{chunk / 4, false}, {chunk/4 + 1, true}, {chunk, true}} {
		for _, zeroed := range []bool{false, true} {
			for _, kept := range []bool{false, true} {
				r := NewRegion(a, RegionOptions{Chunk: chunk, MaxChunk: chunk})
				if kept { // the next chunk is one of before
					fill(must(t)(r.BytesUninit(chunk/4)), 0xff)
					r.Reset()
				}
				get := r.BytesUninit
				if zeroed {
					get = r.Bytes
				}
				b := must(t)(get(row.n))
				if own := len(r.own) == 1; own != row.own || len(r.own) > 1 || (r.used == 1) == row.own {
					t.Errorf("%d bytes, zeroed %v, a chunk is there %v: %d own blocks, %d chunks used", row.n, zeroed, kept, len(r.own), r.used)
				}
				if i := firstOther(b[:cap(b)], 0); zeroed && i >= 0 {
					t.Errorf("%d bytes: byte %d is not zero", row.n, i)
				}
				checkRegion(t, r)
				r.Release()
			}
		}
	}
	checkQuiet(t, a, 0)
}

// TestRegionFillsChunks: a chunk is used to its last byte, in any mixture of both calls, and
// Bytes clears what it hands out, whatever was there, and 4 KiB ahead at the most.
func TestRegionFillsChunks(t *testing.T) {
	const chunk = 16 << 10
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{Chunk: chunk, MaxChunk: chunk})
	for _, n := range []int{8, 24, 1000, 4096} {
		for mixture := range 3 {
			r.Reset()
			for r.used != 1 || r.room > 0 {
				b := must(t)(r.BytesUninit(8))
				if b = b[:cap(b)]; len(b) != 8 {
					t.Fatalf("a capacity of %d bytes, want 8", len(b))
				}
				fill(b, 0xff)
			}
			r.Reset()
			must(t)(r.BytesUninit(8)) // enters the chunk
			for i := 0; r.room >= n; i++ {
				before := r.room
				if i%3 < mixture {
					must(t)(r.BytesUninit(n))
				} else if b := must(t)(r.Bytes(n)); firstOther(b[:cap(b)], 0) >= 0 {
					t.Fatalf("%d bytes with %d left: byte %d is not zero", n, before, firstOther(b[:cap(b)], 0))
				}
				if checkRegion(t, r); r.used != 1 || r.room != before-(n+7)/8*8 {
					t.Fatalf("%d bytes with %d left: %d are left, %d chunks used", n, before, r.room, r.used)
				}
				if ahead := r.room - r.dirty; ahead > 4<<10-8 && ahead > 0 {
					t.Fatalf("%d bytes are cleared ahead", ahead)
				}
			}
		}
	}
	r.Release()
}

// TestRegionCopyClearsRest: behind a copy there is nothing of what was there before.
func TestRegionCopyClearsRest(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	fill(must(t)(r.BytesUninit(4096)), 0xff)
	r.Reset()
	for n := range 20 {
		b := must(t)(r.Copy(make([]byte, n)))
		if i := firstOther(b[:cap(b)], 0); len(b) != n || n > 0 && cap(b) != (n+7)/8*8 || i >= 0 {
			t.Errorf("a copy of %d bytes has %d of %d, and byte %d is not zero", n, len(b), cap(b), i)
		}
	}
	r.Release()
}

// TestRegionAppendSparesCutCapacity: whoever has cut the capacity of a slice keeps what is
// behind the cut, and appending to the rest moves it.
func TestRegionAppendSparesCutCapacity(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	cut := func(n, to int) {
		t.Helper()
		all, err := RegionSlice[byte](r, n)
		if err != nil {
			t.Fatal(err)
		}
		all = all[:cap(all)]
		fill(all, 1)
		first, err := RegionAppend(r, all[:to:to], 2)
		if err != nil {
			t.Fatal(err)
		}
		if i := firstOther(all, 1); i >= 0 {
			t.Errorf("%d bytes cut at %d: byte %d was overwritten", n, to, i)
		}
		inPlace := addressOf(first) == addressOf(all)
		if inPlace != (to == len(all)) || len(first) != to+1 || first[to] != 2 || firstOther(first[:to], 1) >= 0 {
			t.Errorf("%d bytes cut at %d: in place %v, %v", n, to, inPlace, first)
		}
	}
	for to := 9; to <= 16; to++ {
		cut(16, to)
	}
	// Of elements that do not divide 8 bytes, a rest that none fits belongs to the slice.
	type three [3]byte
	s, err := RegionSlice[three](r, 5) // 15 bytes of 16
	if err != nil || cap(s) != 5 {
		t.Fatal(cap(s), err)
	}
	grown, err := RegionAppend(r, s, three{1, 2, 3})
	if err != nil || unsafe.SliceData(grown) != unsafe.SliceData(s) || cap(grown) != 8 || grown[5] != (three{1, 2, 3}) {
		t.Errorf("%v with room for %d, %v: not in place", grown, cap(grown), err)
	}
	shorter, err := RegionAppend(r, grown[:7:7], three{4, 5, 6})
	if err != nil || unsafe.SliceData(shorter) == unsafe.SliceData(grown) || len(shorter) != 8 {
		t.Errorf("%v, %v: in place over an element that was cut off", shorter, err)
	}
	r.Release()
}

// TestRegionAppendGrows: in place exactly as far as the chunk goes, else to twice the
// capacity or what is needed, if that is more, and at a full limit to what is needed.
func TestRegionAppendGrows(t *testing.T) {
	const chunk = 1 << 10
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{Chunk: chunk, MaxChunk: chunk})
	s, err := RegionSlice[uint64](r, 8)
	if err != nil {
		t.Fatal(err)
	}
	all := chunk / 8
	grown, err := RegionAppend(r, s, make([]uint64, all-8)...)
	if err != nil || unsafe.SliceData(grown) != unsafe.SliceData(s) || len(grown) != all || cap(grown) != all || r.room != 0 {
		t.Errorf("%d elements with room for %d, %d bytes left, %v; want the whole chunk", len(grown), cap(grown), r.room, err)
	}
	moved, err := RegionAppend(r, grown, 7)
	if err != nil || len(moved) != all+1 || cap(moved) < 2*all || moved[all] != 7 {
		t.Errorf("%d elements with room for %d, %v; want room for %d", len(moved), cap(moved), err, 2*all)
	}
	many, err := RegionAppend(r, moved, make([]uint64, 9*all)...)
	if err != nil || len(many) != 10*all+1 || cap(many) < 10*all+1 {
		t.Errorf("%d elements with room for %d, %v", len(many), cap(many), err)
	}
	r.Release()
	// Below a limit that has room for what is needed, and not for twice the capacity.
	limited := open(t, Options{Limit: 1 << 20})
	r = NewRegion(limited, RegionOptions{})
	const count = 50_000 // 391 KiB
	s, err = RegionSlice[uint64](r, count)
	if err != nil {
		t.Fatal(err)
	}
	s[count-1] = 5
	grown, err = RegionAppend(r, s[:count:count], 6)
	if err != nil || len(grown) != count+1 || cap(grown) >= 2*count || grown[count-1] != 5 || grown[count] != 6 {
		t.Errorf("%d elements with room for %d, %v", len(grown), cap(grown), err)
	}
	same, err := RegionAppend(r, grown, make([]uint64, count)...)
	if !errors.Is(err, ErrLimit) || len(same) != count+1 || unsafe.SliceData(same) != unsafe.SliceData(grown) {
		t.Errorf("%d elements, %v; want what was there, and ErrLimit", len(same), err)
	}
	r.Release()
	checkQuiet(t, limited, 0)
	checkQuiet(t, a, 0)
}
