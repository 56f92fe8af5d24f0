package alloc

import (
	"errors"
	"slices"
	"strings"
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

// TestRegionAppendSparesCutCapacity: a caller that has cut the capacity of a slice keeps what is
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

// TestRegionClearsAhead: Bytes clears 4 KiB at once, or the rest of the chunk, or what is
// asked for, and knows it; BytesUninit clears nothing.
func TestRegionClearsAhead(t *testing.T) {
	const chunk = 16 << 10
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{Chunk: chunk, MaxChunk: chunk})
	fillChunk := func() {
		t.Helper()
		must(t)(r.BytesUninit(8))
		fill(r.chunks[0], 0xff)
		r.Reset()
	}
	for _, row := range []struct{ before, n, ahead int }{
		{0, 8, 4<<10 - 8}, {0, 1, 4<<10 - 8}, {0, 4 << 10, 0}, {0, 4<<10 - 8, 8},
		{chunk - 1000, 8, 992}, {chunk - 8, 8, 0}, {chunk - 8, 1, 0},
	} {
		fillChunk()
		if row.before == 0 {
			must(t)(r.BytesUninit(8)) // the chunk is entered by one that clears nothing
			r.Rewind(RegionMark{r, r.generation, r.end, 1, chunk, 0})
		}
		for done := 0; done < row.before; done += 8 {
			if b := must(t)(r.BytesUninit(8)); b[0] != 0xff {
				t.Fatal("BytesUninit clears memory")
			}
		}
		must(t)(r.Bytes(row.n))
		if ahead := r.room - min(r.dirty, r.room); ahead != row.ahead || r.used != 1 {
			t.Errorf("%d bytes after %d: %d are cleared ahead, want %d; %d chunks used", row.n, row.before, ahead, row.ahead, r.used)
		}
		r.Reset()
	}
	r.Release()
}

// TestRegionOwnUninit: a block of its own is cleared for Bytes alone.
func TestRegionOwnUninit(t *testing.T) {
	a := open(t, Options{})
	for range 100 {
		r := NewRegion(a, RegionOptions{})
		fill(must(t)(r.BytesUninit(20_000)), 0xff)
		r.Release()
		b := must(t)(r.BytesUninit(20_000)) // the newest of this vCPU
		left := b[0] == 0xff && b[19_999] == 0xff
		r.Release()
		if left {
			return
		}
	}
	t.Error("BytesUninit clears blocks of their own")
}

// TestRegionChunksAtFullLimit: where a limit refuses a chunk, one of half the size is tried,
// down to 64 KiB.
func TestRegionChunksAtFullLimit(t *testing.T) {
	const kib = 1 << 10
	for _, row := range []struct {
		limit  int
		chunks []int
	}{
		{1024 * kib, []int{256 * kib, 512 * kib, 256 * kib}},
		{1024*kib + 64*kib, []int{256 * kib, 512 * kib, 256 * kib, 64 * kib}},
		{1024*kib + 32*kib, []int{256 * kib, 512 * kib, 256 * kib}},
		{1024*kib - 8*kib, []int{256 * kib, 512 * kib, 128 * kib, 64 * kib}},
	} {
		a := open(t, Options{Limit: int64(row.limit)})
		r := NewRegion(a, RegionOptions{Chunk: 256 * kib, MaxChunk: 1024 * kib})
		const n = 8 * kib
		for len(r.own) == 0 {
			if _, err := r.BytesUninit(n); err != nil {
				break
			}
		}
		var chunks []int
		for _, chunk := range r.chunks {
			chunks = append(chunks, len(chunk))
		}
		if !slices.Equal(chunks, row.chunks) {
			t.Errorf("limit %d: chunks of %v bytes, want %v", row.limit, chunks, row.chunks)
		}
		if len(a.regions.all) != 1 {
			t.Errorf("the region is listed %d times", len(a.regions.all))
		}
		r.Release()
		checkQuiet(t, a, 0)
	}
}

// TestRegionFullLimitIsAnError: every call says so.
func TestRegionFullLimitIsAnError(t *testing.T) {
	a := open(t, Options{Limit: 64 << 10})
	r := NewRegion(a, RegionOptions{})
	for {
		if _, err := a.AllocUninit(8); err != nil {
			break
		}
	}
	for name, call := range map[string]func() error{
		"Bytes":        func() error { _, err := r.Bytes(8); return err },
		"BytesUninit":  func() error { _, err := r.BytesUninit(8); return err },
		"Copy":         func() error { _, err := r.Copy([]byte("a")); return err },
		"String":       func() error { _, err := r.String("a"); return err },
		"RegionNew":    func() error { _, err := RegionNew[int64](r); return err },
		"RegionSlice":  func() error { _, err := RegionSlice[int64](r, 1); return err },
		"RegionAppend": func() error { _, err := RegionAppend(r, nil, 1); return err },
	} {
		if err := call(); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v, want ErrLimit", name, err)
		}
	}
}

// TestRegionMarksEnd: no mark from before Reset or Release is good, nor one of another
// region, whatever the region holds by then.
func TestRegionMarksEnd(t *testing.T) {
	a := open(t, Options{})
	for name, end := range map[string]func(r *Region) RegionMark{
		"Reset":   func(r *Region) RegionMark { m := r.Mark(); r.Reset(); return m },
		"Release": func(r *Region) RegionMark { m := r.Mark(); r.Release(); return m },
		"another": func(*Region) RegionMark { return NewRegion(a, RegionOptions{}).Mark() },
	} {
		for _, n := range []int{0, 100} {
			r := NewRegion(a, RegionOptions{})
			must(t)(r.Bytes(n))
			m := end(r)
			must(t)(r.Bytes(1000))
			reason := map[string]string{"another": "another region"}[name]
			if reason == "" {
				reason = "before Reset or Release"
			}
			misuse, ok := panicOf(func() { r.Rewind(m) }).(*MisuseError)
			if !ok || !strings.Contains(misuse.Reason, reason) {
				t.Errorf("%s after %d bytes: %v, want %q", name, n, misuse, reason)
			}
			r.Release()
		}
	}
}

// TestRegionAppendExactly: up to the capacity a slice stays as it is; past it a moved one
// has twice the capacity, in bytes rounded up to 8, and in place it takes no byte more.
func TestRegionAppendExactly(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	s, err := RegionSlice[uint64](r, 4)
	if err != nil {
		t.Fatal(err)
	}
	room := r.room
	full, err := RegionAppend(r, s[:1], 1, 2, 3)
	if err != nil || unsafe.SliceData(full) != unsafe.SliceData(s) || len(full) != 4 || cap(full) != 4 || r.room != room {
		t.Errorf("up to the capacity: %v with room for %d, %v", full, cap(full), err)
	}
	must(t)(r.Bytes(8)) // behind it
	moved, err := RegionAppend(r, full, 4)
	if err != nil || cap(moved) != 8 || len(moved) != 5 {
		t.Errorf("moved: %v with room for %d, want 8, %v", moved, cap(moved), err)
	}
	room = r.room
	grown, err := RegionAppend(r, moved, 5, 6, 7, 8)
	if err != nil || unsafe.SliceData(grown) != unsafe.SliceData(moved) || cap(grown) != 9 || r.room != room-8 {
		t.Errorf("in place: room for %d, want 9; %d bytes are taken, want 8; %v", cap(grown), room-r.room, err)
	}
	// 25 bytes and 7 that no element fits.
	one, err := RegionSlice[[25]byte](r, 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := RegionAppend(r, one, [25]byte{1})
	if err != nil || unsafe.SliceData(two) != unsafe.SliceData(one) || len(two) != 2 || two[1] != [25]byte{1} {
		t.Errorf("in place behind 25 bytes: %d elements, %v", len(two), err)
	}
	nothing, err := RegionAppend(r, make([]struct{}, 3), make([]struct{}, 5)...)
	if err != nil || len(nothing) != 8 {
		t.Errorf("%d elements without a size, %v", len(nothing), err)
	}
	r.Release()
}

// TestRegionsOfClosed: calls that would need no memory say that the allocator is closed,
// too; to retire the regions once more does no harm.
func TestRegionsOfClosed(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	s, err := RegionSlice[byte](r, 8)
	if err != nil {
		t.Fatal(err)
	}
	m := r.Mark()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a.regions.retire()
	if _, err := RegionSlice[struct{}](r, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("RegionSlice of nothing: %v", err)
	}
	if same, err := RegionAppend(r, s[:1], 1); !errors.Is(err, ErrClosed) || len(same) != 1 {
		t.Errorf("RegionAppend within the capacity: %v", err)
	}
	if _, err := r.Bytes(0); !errors.Is(err, ErrClosed) {
		t.Errorf("Bytes of nothing: %v", err)
	}
	r.Rewind(m)
	if r.used != 0 || r.room != 0 {
		t.Errorf("%d chunks used, room %d", r.used, r.room)
	}
}
