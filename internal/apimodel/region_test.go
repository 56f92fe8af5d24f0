package apimodel

import (
	"bytes"
	"errors"
	"slices"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/arena"
)

var regionActions = []action{
	{"region", 4, (*world).newRegion},
	{"regionBytes", 22, (*world).regionBytes},
	{"regionFill", 4, (*world).regionFill},
	{"regionTight", 4, (*world).regionTight},
	{"regionCopy", 3, (*world).regionCopy},
	{"regionTyped", 4, (*world).regionTyped},
	{"regionAppend", 6, (*world).regionAppend},
	{"regionGrow", 3, (*world).regionGrow},
	{"regionMark", 3, (*world).regionMark},
	{"regionRewind", 3, (*world).regionRewind},
	{"regionReset", 2, (*world).regionReset},
	{"regionRelease", 1, (*world).regionRelease},
}

// region is a Region and what was allocated in it.
type region struct {
	r      *alloc.Region
	owner  *allocator
	pieces []*piece // live ones, in the order of allocation
	marks  []*mark
	serial int // counts pieces that take room
	epoch  int // counts Reset and Release
	held   int64
	first  int // bytes of the first chunk, before rounding
	most   int // of the largest
}

// piece is one allocation. Its block is live.
type piece struct {
	*block
	serial int
}

// mark is a RegionMark.
type mark struct {
	m      alloc.RegionMark
	epoch  int
	serial int // of the last piece before it
	passed bool
}

func (w *world) newRegion(o op) {
	m := w.open(o)
	if m == nil || len(w.regions) >= 5 {
		return
	}
	options := alloc.RegionOptions{
		Chunk:    []int{0, 0, 0, 1, 1 << 10, 3000, 16 << 10, 64 << 10, 100_000, 256 << 10, 300_000, 1 << 20, -1}[o.m%13],
		MaxChunk: []int{0, 0, 0, 1, 64 << 10, 256 << 10, 1 << 20, 2 << 20, -1}[o.b%9],
	}
	r := &region{r: alloc.NewRegion(m.a, options), owner: m, first: 64 << 10}
	if options.Chunk != 0 {
		r.first = max(options.Chunk, 1<<10)
	}
	r.most = max(1<<20, r.first)
	if options.MaxChunk != 0 {
		r.most = max(options.MaxChunk, r.first)
	}
	w.regions = append(w.regions, r)
}

// pickRegion returns a region, which o.a selects, or nil.
func (w *world) pickRegion(o op) *region {
	if len(w.regions) == 0 {
		return nil
	}
	return w.regions[o.a%len(w.regions)]
}

// around runs a call that changes how much a region has of its allocator.
func (r *region) around(w *world, call func()) {
	if r.owner.closed {
		call()
		return
	}
	before := r.owner.a.Stats().Live
	spare := w.spareBytes(r.owner)
	call()
	change := r.owner.a.Stats().Live - before + spare - w.spareBytes(r.owner)
	r.held += change
	r.owner.regions += change
	check(r.held >= r.bytes(), "a region of %s has %d bytes, and %d are in use", r.owner.name, r.held, r.bytes())
}

func (w *world) spareBytes(m *allocator) int64 {
	if m.reclaim == nil {
		return 0
	}
	return m.reclaim.bytes()
}

// keep adds memory that the region has returned.
func (r *region) keep(w *world, b []byte, what string) {
	if cap(b) == 0 {
		return
	}
	check(r.owner.a.Owns(b) && r.owner.a.Owns(b[cap(b)-1:cap(b)]), "%s: %#x is not in memory of %s", what, addressOf(b), r.owner.name)
	r.serial++
	r.pieces = append(r.pieces, &piece{w.add(r.owner, b, what), r.serial})
}

// bytes returns the capacity of what is allocated.
func (r *region) bytes() (bytes int64) {
	for _, p := range r.pieces {
		bytes += int64(cap(p.b))
	}
	return bytes
}

// refused checks the error of a call that wanted n bytes.
func (r *region) refused(w *world, n int, err error, what string) {
	if r.owner.closed {
		mustBeClosed(err, what)
		return
	}
	w.refused(r.owner, n, 1, err, what)
}

// regionBytes is Bytes, or BytesUninit if m is odd.
func (w *world) regionBytes(o op) {
	r := w.pickRegion(o)
	if r == nil || !w.room(r.owner, o.n) {
		return
	}
	zeroed := o.m%2 == 0
	if o.n < 0 {
		mustPanicAsMake("Region.Bytes", o.n, func() { r.r.Bytes(o.n) })
		mustPanicAsMake("Region.BytesUninit", o.n, func() { r.r.BytesUninit(o.n) })
		return
	}
	for range []int{1, 1, 1, 2, 5, 40}[o.m/2%6] {
		if !w.room(r.owner, o.n) || !r.bytesOne(w, o.n, zeroed) {
			return
		}
	}
}

// regionFill allocates much in small pieces, for which chunks grow.
func (w *world) regionFill(o op) {
	r := w.pickRegion(o)
	if r == nil || r.owner.closed {
		return
	}
	n := []int{100, 250, 1000, 4000, 16_000}[o.n&0xff%5]
	r.around(w, func() {
		for range min(1500, []int{64 << 10, 300 << 10, 1 << 20}[o.b%3]/n) {
			b, err := r.r.BytesUninit(n)
			if err != nil {
				return
			}
			check(len(b) == n && cap(b) >= n, "Region.BytesUninit of %d bytes: length %d, capacity %d", n, len(b), cap(b))
			r.keep(w, b, "Region.BytesUninit")
		}
	})
}

// regionTight lets the chunks of a region grow, fills the limit, and asks for as much as
// the next chunk would be cut for: there is no room for it, but maybe for a smaller one.
func (w *world) regionTight(o op) {
	r := w.pickRegion(o)
	if r == nil || r.owner.closed || r.owner.tightest() == 0 {
		return
	}
	r.release(w)
	chunk, piece := r.first, r.first/4
	for chunk < r.most && r.bytes()+4*int64(chunk) < min(r.owner.tightest()/2, 600<<10) && len(r.pieces) < 300 {
		for range 4 * chunk / r.first {
			if !r.bytesOne(w, piece, false) {
				return
			}
		}
		chunk = min(2*chunk, r.most)
	}
	n := chunk/4 - o.b%3*8
	for range 200 {
		if fill := n / (1 + o.m%4); !w.room(r.owner, fill) || !w.allocOne(r.owner, fill, false) {
			break
		}
	}
	if last := len(w.blocks) - 1; o.m&4 > 0 && last >= 0 && w.blocks[last].owner == r.owner {
		b := w.blocks[last]
		w.drop(b)
		r.owner.a.Free(b.b)
	}
	for range 4 {
		if w.room(r.owner, n) {
			r.bytesOne(w, n, o.m&8 == 0)
		}
	}
}

// bytesOne is one call, and reports whether it worked.
func (r *region) bytesOne(w *world, n int, zeroed bool) bool {
	call, what := r.r.BytesUninit, "Region.BytesUninit"
	if zeroed {
		call, what = r.r.Bytes, "Region.Bytes"
	}
	var b []byte
	var err error
	r.around(w, func() { b, err = call(n) })
	if err != nil {
		check(b == nil, "%s of %d bytes: memory and the error %v", what, n, err)
		r.refused(w, n, err, what)
		return false
	}
	check(!r.owner.closed || n == 0, "%s of %d bytes of a closed allocator", what, n)
	check(b != nil && len(b) == n && cap(b) >= n && addressOf(b)%8 == 0, "%s of %d bytes: length %d, capacity %d at %#x", what, n, len(b), cap(b), addressOf(b))
	if zeroed {
		checkZero(b[:cap(b)], what)
	}
	r.keep(w, b, what)
	return true
}

// regionCopy is Copy of a block or of an own piece, or String if m is odd.
func (w *world) regionCopy(o op) {
	r := w.pickRegion(o)
	if r == nil {
		return
	}
	source := bytes.Repeat([]byte{byte(o.n)}, o.m)
	if len(r.pieces) > 0 && o.b%2 == 0 {
		source = r.pieces[o.b%len(r.pieces)].b
	} else if len(w.blocks) > 0 && o.b%3 == 0 {
		source = w.blocks[o.b%len(w.blocks)].b
	}
	if !w.room(r.owner, len(source)) {
		return
	}
	want := bytes.Clone(source)
	var b []byte
	var err error
	if o.m%2 == 0 {
		r.around(w, func() { b, err = r.r.Copy(source) })
		if err == nil {
			check(string(b) == string(want), "Region.Copy of %d bytes gives others", len(want))
			checkZero(b[len(b):cap(b)], "Region.Copy behind the length")
		}
	} else {
		text := string(want)
		var s string
		r.around(w, func() { s, err = r.r.String(text) })
		if err == nil {
			check(s == text, "Region.String of %d bytes gives others", len(want))
			b = unsafe.Slice(unsafe.StringData(s), len(s))
		}
	}
	if err != nil {
		r.refused(w, len(want), err, "Region.Copy")
		return
	}
	check(!r.owner.closed || len(b) == 0, "Region.Copy of %d bytes of a closed allocator", len(b))
	r.keep(w, b, "Region.Copy")
}

// odd is a type whose size is no multiple of 8.
type odd struct {
	A uint16
	B [3]uint8
	C uint16
}

// regionTyped is RegionNew and RegionSlice of several types.
func (w *world) regionTyped(o op) {
	r := w.pickRegion(o)
	if r == nil {
		return
	}
	switch o.m % 5 {
	case 0:
		regionSlice[uint64](w, r, o)
	case 1:
		regionSlice[odd](w, r, o)
	case 2:
		regionSlice[byte](w, r, o)
	case 3:
		regionNew[[100]uint32](w, r)
	case 4:
		regionNew[[9000]odd](w, r)
	}
	_, err := alloc.RegionNew[*int](r.r)
	check(errors.Is(err, alloc.ErrPointers), "RegionNew of a pointer: %v", err)
	_, err = alloc.RegionSlice[struct{ S string }](r.r, 1)
	check(errors.Is(err, alloc.ErrPointers), "RegionSlice of a string: %v", err)
}

// bytesOf returns the memory of a slice up to its capacity.
func bytesOf[T any](s []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), cap(s)*int(unsafe.Sizeof(t)))
}

func regionNew[T any](w *world, r *region) {
	var t T
	size := int(unsafe.Sizeof(t))
	if !w.room(r.owner, size) {
		return
	}
	var p *T
	var err error
	r.around(w, func() { p, err = alloc.RegionNew[T](r.r) })
	if err != nil {
		r.refused(w, size, err, "RegionNew")
		return
	}
	check(!r.owner.closed, "RegionNew of a closed allocator")
	b := unsafe.Slice((*byte)(unsafe.Pointer(p)), size)
	checkZero(b, "RegionNew")
	r.keep(w, b, "RegionNew")
}

func regionSlice[T any](w *world, r *region, o op) {
	var t T
	size := int(unsafe.Sizeof(t))
	n := o.n
	if n >= 0 && n < 1<<32 {
		n /= size
	}
	if n < 0 {
		mustPanicAsMake("RegionSlice", n, func() { alloc.RegionSlice[byte](r.r, n) })
		return
	}
	if n < arena.MaxReserve && !w.room(r.owner, n*size) {
		return
	}
	var s []T
	var err error
	r.around(w, func() { s, err = alloc.RegionSlice[T](r.r, n) })
	if err != nil {
		check(s == nil, "RegionSlice of %d elements: memory and the error %v", n, err)
		if n > 1<<40 && !r.owner.closed {
			check(errors.Is(err, alloc.ErrTooLarge), "RegionSlice of %d elements: %v", n, err)
			return
		}
		r.refused(w, n*size, err, "RegionSlice")
		return
	}
	check(!r.owner.closed || n == 0, "RegionSlice of a closed allocator")
	check(s != nil && len(s) == n && cap(s) >= n, "RegionSlice of %d elements: length %d, capacity %d", n, len(s), cap(s))
	checkZero(bytesOf(s), "RegionSlice")
	r.keep(w, bytesOf(s), "RegionSlice")
}

// regionAppend is RegionAppend to a slice of bytes: the newest piece, another one, a
// block of an allocator, or Go memory; the capacity may have been cut.
func (w *world) regionAppend(o op) {
	r := w.pickRegion(o)
	if r == nil {
		return
	}
	var s []byte
	var from *piece
	switch {
	case len(r.pieces) > 0 && o.b%4 < 2:
		from = r.pieces[len(r.pieces)-1]
		s = from.b
	case len(r.pieces) > 0 && o.b%4 == 2:
		from = r.pieces[o.b%len(r.pieces)]
		s = from.b
	case len(w.blocks) > 0 && o.b%3 == 0:
		s = w.blocks[o.b%len(w.blocks)].b
		s = s[:len(s):len(s)]
	case o.b%5 == 0:
		s = make([]byte, o.m)
	}
	switch o.m % 4 {
	case 0:
		s = s[:len(s)*2/3]
	case 1:
		s = s[: len(s)*2/3 : len(s)*2/3]
	case 2:
		s = s[:len(s):len(s)]
	}
	more := o.n
	if more < 0 || more > 1<<20 || !w.room(r.owner, 2*cap(s)+more) {
		return
	}
	elements := make([]byte, more)
	fill(elements, uint64(o.n))
	before := bytes.Clone(s)
	var after []byte
	var err error
	r.around(w, func() { after, err = alloc.RegionAppend(r.r, s, elements...) })
	if err != nil {
		check(len(after) == len(s) && cap(after) == cap(s) && addressOf(after) == addressOf(s) && bytes.Equal(s, before), "RegionAppend after the error %v: the slice has changed", err)
		check(len(s)+more > cap(s) || r.owner.closed, "RegionAppend within the capacity: %v", err)
		r.refused(w, len(s)+more, err, "RegionAppend")
		return
	}
	check(len(after) == len(before)+more && bytes.Equal(after[:len(before)], before) && bytes.Equal(after[len(before):], elements),
		"RegionAppend of %d bytes to %d: length %d, or other bytes", more, len(before), len(after))
	within := len(before)+more <= cap(s)
	check(!r.owner.closed, "RegionAppend of a closed allocator")
	switch {
	case within:
		check(len(after) == 0 && cap(after) == 0 || addressOf(after) == addressOf(s) && cap(after) == cap(s), "RegionAppend of %d bytes within the capacity %d of a slice of %d has moved", more, cap(s), len(before))
		w.rewritten(s, more)
	case from != nil && addressOf(after) == from.address():
		r.grown(w, from, after)
	default:
		check(addressOf(after) != addressOf(s), "RegionAppend has extended memory of others")
		r.keep(w, after, "RegionAppend")
	}
}

// regionGrow appends to the newest piece of a region, up to the end of its chunk and
// beyond it.
func (w *world) regionGrow(o op) {
	r := w.pickRegion(o)
	if r == nil || r.owner.closed {
		return
	}
	if !r.bytesOne(w, 1+o.b%8, o.m%2 == 0) {
		return
	}
	more := 1 + o.n&0x3f
	for range 30 {
		newest := r.pieces[len(r.pieces)-1]
		o := op{a: o.a, b: 0, m: 2, n: more} // the whole of the newest piece
		if cap(newest.b) > 4<<10 {
			return
		}
		w.regionAppend(o)
	}
}

// rewritten fills what an append has written to anew.
func (w *world) rewritten(s []byte, more int) {
	if more == 0 {
		return
	}
	if at := w.search(addressOf(s)); at < len(w.live) && w.live[at].address() == addressOf(s) {
		fill(w.live[at].b[:cap(w.live[at].b)], w.live[at].seed)
	}
}

// grown replaces a piece by the longer one at its place. It counts as new: for a mark
// from before, it reaches behind the end.
func (r *region) grown(w *world, from *piece, after []byte) {
	check(cap(after) >= cap(from.b), "RegionAppend in place: capacity %d, was %d", cap(after), cap(from.b))
	w.forget(from.block)
	r.pieces = slices.DeleteFunc(r.pieces, func(other *piece) bool { return other == from })
	r.keep(w, after, "RegionAppend in place")
}

func (w *world) regionMark(o op) {
	if r := w.pickRegion(o); r != nil && len(r.marks) < 10 {
		r.marks = append(r.marks, &mark{m: r.r.Mark(), epoch: r.epoch, serial: r.serial})
	}
}

// regionRewind is Rewind to a good mark or to one that must be refused.
func (w *world) regionRewind(o op) {
	r := w.pickRegion(o)
	if r == nil {
		return
	}
	if o.m%8 == 0 && len(w.regions) > 1 {
		other := w.regions[(o.a+1)%len(w.regions)]
		if other != r {
			mustRefuseRewind(r, other.r.Mark(), "a mark of another region")
		}
		return
	}
	if len(r.marks) == 0 {
		return
	}
	at := o.b % len(r.marks)
	m := r.marks[at]
	if r.owner.closed {
		r.r.Rewind(m.m) // does nothing
		return
	}
	last := 0
	if len(r.pieces) > 0 {
		last = r.pieces[len(r.pieces)-1].serial
	}
	switch {
	case m.epoch != r.epoch:
		mustRefuseRewind(r, m.m, "a mark from before Reset or Release")
		return
	case m.passed && last < m.serial:
		mustRefuseRewind(r, m.m, "a mark that the region was rewound past")
		return
	case m.passed:
		return // the region has grown again, by what the mark knows nothing of
	}
	for len(r.pieces) > 0 && r.pieces[len(r.pieces)-1].serial > m.serial {
		r.drop(w, len(r.pieces)-1)
	}
	r.around(w, func() { r.r.Rewind(m.m) })
	for _, other := range r.marks {
		other.passed = other.passed || other.epoch == r.epoch && other.serial > m.serial
	}
}

// drop forgets the pieces from the given index on.
func (r *region) drop(w *world, from int) {
	for _, p := range r.pieces[from:] {
		if !r.owner.closed {
			w.remove(p.block)
		}
	}
	r.pieces = r.pieces[:from]
}

func mustRefuseRewind(r *region, m alloc.RegionMark, what string) {
	e, ok := panicOf(func() { r.r.Rewind(m) }).(*alloc.MisuseError)
	check(ok && e.Op == "Rewind" && e.Addr == uintptr(unsafe.Pointer(r.r)) && e.Size == 0 && e.Reason == what, "Rewind to %s: %+v", what, e)
}

func (w *world) regionReset(o op) {
	if r := w.pickRegion(o); r != nil {
		r.drop(w, 0)
		held := r.held
		r.around(w, r.r.Reset)
		check(r.held <= held, "a region has %d bytes after Reset, %d before", r.held, held)
		r.epoch++
		again := r.held
		r.around(w, r.r.Reset)
		check(r.held == again, "a region has %d bytes after a second Reset, %d before", r.held, again)
		r.epoch++
	}
}

func (w *world) regionRelease(o op) {
	r := w.pickRegion(o)
	if r == nil {
		return
	}
	r.release(w)
	if o.m%2 == 0 {
		for i := range w.regions {
			if w.regions[i] == r {
				w.regions = append(w.regions[:i], w.regions[i+1:]...)
				break
			}
		}
	}
}

// release is Release, after which nothing of the region is live.
func (r *region) release(w *world) {
	r.drop(w, 0)
	r.around(w, r.r.Release)
	check(r.held == 0 || r.owner.closed, "a region has %d bytes after Release", r.held)
	r.epoch++
}
