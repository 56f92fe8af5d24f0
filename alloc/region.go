package alloc

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"
	"weak"

	"github.com/vcpualloc/vcpualloc/arena"
)

// RegionOptions of NewRegion. The zero value is good for most programs.
type RegionOptions struct {
	// Chunk is the size of the first chunk in bytes, rounded up as GoodSize does.
	// Default: 64 KiB. Limits: 1 KiB to 1 GiB; what is outside is moved to them. Where a
	// limit of the allocator refuses a chunk, smaller ones down to 64 KiB are tried.
	Chunk int

	// MaxChunk is up to where chunks double in size, in bytes. Default: 1 MiB, or
	// Chunk if that is more. Limits: as Chunk, and not below it.
	MaxChunk int
}

const (
	defaultChunk    = 64 << 10 // bytes
	defaultMaxChunk = 1 << 20
	smallestChunk   = 1 << 10
	largestChunk    = 1 << 30

	// ownShare is the share of the next chunk above which a request gets a block
	// of its own: at most this share of a chunk is left unused at its end.
	ownShare = 4

	// regionAlign is the alignment of everything in a region in bytes; no Go type
	// has a larger one.
	regionAlign = 8

	// clearAhead is how much Bytes clears at once, in bytes, so that the next
	// calls need not: a call of its own for every few bytes costs more.
	clearAhead = 4 << 10
)

// Region is a bump allocator: many allocations, one release. It takes chunks
// from an Allocator, in which they count as live, and cuts them from front to
// end; nothing in it is freed by itself. What it hands out is 8-byte aligned.
//
// A request of more than a quarter of the next chunk, for which the current one
// has no room, gets a block of its own. Reset keeps all chunks and frees these
// blocks; Release frees both.
//
// A Region is not safe for concurrent use. Different goroutines may use it one
// after the other. The collector never gives its memory back, since blocks may be in
// use: Release does, and Close of the allocator, after which its calls return ErrClosed.
type Region struct {
	// The current chunk, or emptyBlock at the beginning. The fast paths write
	// room alone, which is no pointer and needs no write barrier.
	//
	//	next byte = end - room
	//	bytes from the next one on that are zero = max(0, room - dirty)
	//	0 <= room, dirty <= size of the chunk; all three are multiples of regionAlign
	//
	// A request of size bytes is served from the chunk only if size <= room: the slow
	// path enters no chunk that is smaller than the request.
	end   unsafe.Pointer
	room  int
	dirty int

	a          *Allocator
	chunks     [][]byte // in the order of their use; those from used on are kept for later
	used       int
	own        [][]byte // blocks of their own, in the order of their making
	first, max int      // bytes of the first chunk, and of the largest
	generation uint64   // counts Reset and Release
	listed     bool     // in a.regions
}

// NewRegion returns an empty region. It takes no memory until the first use.
func NewRegion(a *Allocator, o RegionOptions) *Region {
	r := &Region{a: a, first: defaultChunk}
	if o.Chunk != 0 {
		r.first = min(max(o.Chunk, smallestChunk), largestChunk)
	}
	r.max = max(defaultMaxChunk, r.first)
	if o.MaxChunk != 0 {
		r.max = max(r.first, min(o.MaxChunk, largestChunk))
	}
	r.enter(0)
	return r
}

// The two calls below are nosplit: they need no more stack than the check for
// it costs.

// Bytes returns n zero bytes, which live until Reset, Release, or Rewind to an
// earlier mark. The capacity is n rounded up to 8, or that of a block for the request
// alone (see GoodSize), and zero too. n = 0 gives an
// empty slice that is not nil and lies in no allocator's memory; n < 0 panics as
// make does.
//
// The error is that of Allocator.Alloc; the region is then as it was. At a full
// limit the region tries smaller chunks, a block for the request alone, and the
// chunks that Reset and Rewind have kept, before it returns an error.
//
//go:nosplit
func (r *Region) Bytes(n int) ([]byte, error) {
	size := (n + regionAlign - 1) &^ (regionAlign - 1)
	room := r.room - size
	if n <= 0 || room < r.dirty {
		return r.slow(n, true)
	}
	r.room = room
	return blockOf(unsafe.Add(r.end, -room-size), n, size), nil
}

// BytesUninit is Bytes without the clearing: the bytes are what earlier users
// of the memory left there.
//
//go:nosplit
func (r *Region) BytesUninit(n int) ([]byte, error) {
	// room is a multiple of 8, so what n is rounded up to fits if n does. n - 1 makes
	// 0 the largest number of all.
	if uint(n-1) >= uint(r.room) {
		return r.slow(n, false)
	}
	size := (n + regionAlign - 1) &^ (regionAlign - 1)
	p := unsafe.Add(r.end, -r.room)
	r.room -= size
	return blockOf(p, n, size), nil
}

// slow serves what the current chunk, or its part that is known to be zero, has
// no room for, and n <= 0.
func (r *Region) slow(n int, zeroed bool) ([]byte, error) {
	switch {
	case n < 0:
		return make([]byte, n), nil // panics
	case n == 0 || r.a.closed:
		return r.a.AllocUninit(n)
	case n > r.room && !r.nextChunk(n):
		b, err := r.ownBlock(n, zeroed)
		if err == nil || !r.enterKept(n) {
			return b, err
		}
	}
	if !zeroed {
		return r.BytesUninit(n)
	}
	size := (n + regionAlign - 1) &^ (regionAlign - 1)
	p := unsafe.Add(r.end, -r.room)
	ahead := min(max(size, clearAhead), r.room)
	clear(unsafe.Slice((*byte)(p), ahead))
	r.dirty = r.room - ahead
	r.room -= size
	return blockOf(p, n, size), nil
}

// nextChunk enters the next chunk, one that is kept or a new one, and reports
// whether it did: then there is room for n bytes. If not, the request is to get a
// block of its own, because it is too large a share of that chunk, or because the
// allocator has no memory for a chunk that fits it.
func (r *Region) nextChunk(n int) bool {
	if r.used < len(r.chunks) {
		if n > len(r.chunks[r.used])/ownShare {
			return false
		}
		r.enter(r.used + 1)
		return true
	}
	size := r.first
	if r.used > 0 {
		size = min(2*len(r.chunks[r.used-1]), r.max)
	}
	if n > size/ownShare {
		return false
	}
	for least := max(n, min(r.first, defaultChunk)); size >= least; size /= 2 {
		if chunk, err := r.a.AllocUninit(size); err == nil {
			if !r.listed {
				r.a.regions.add(r)
				r.listed = true
			}
			r.chunks = append(r.chunks, chunk[:cap(chunk)])
			r.enter(r.used + 1)
			return true
		}
	}
	return false
}

// enterKept enters the first of the kept chunks that has room for n bytes, and
// reports whether there is one.
func (r *Region) enterKept(n int) bool {
	for i := r.used; i < len(r.chunks); i++ {
		if n <= len(r.chunks[i]) {
			r.chunks[r.used], r.chunks[i] = r.chunks[i], r.chunks[r.used]
			r.enter(r.used + 1)
			return true
		}
	}
	return false
}

// enter makes the chunk with the index used-1 the current one, and its first
// byte the next one.
func (r *Region) enter(used int) {
	r.used, r.room = used, 0
	if used > 0 {
		r.room = len(r.chunks[used-1])
	}
	r.dirty = r.room
	r.end = r.endOf(used)
}

// endOf returns the address behind the chunk with the index used-1.
func (r *Region) endOf(used int) unsafe.Pointer {
	if used == 0 {
		return unsafe.Pointer(&emptyBlock)
	}
	chunk := r.chunks[used-1]
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(chunk)), len(chunk))
}

// ownBlock returns a block of the allocator for one request.
func (r *Region) ownBlock(n int, zeroed bool) ([]byte, error) {
	get := r.a.AllocUninit
	if zeroed {
		get = r.a.Alloc
	}
	b, err := get(n)
	if err != nil {
		return nil, err
	}
	r.own = append(r.own, b)
	return b, nil
}

// Reset makes the region empty and keeps its chunks: what fits them needs no
// call of the allocator any more. Blocks of their own are freed.
func (r *Region) Reset() {
	r.generation++
	r.freeOwn(0)
	r.enter(0)
}

// Release makes the region empty and gives all of its memory back. The region
// may be used again.
func (r *Region) Release() {
	r.Reset()
	if !r.a.closed {
		r.a.FreeBatch(r.chunks)
	}
	clear(r.chunks)
	r.chunks = r.chunks[:0]
}

// freeOwn frees the blocks of their own from the given index on.
func (r *Region) freeOwn(from int) {
	if !r.a.closed {
		r.a.FreeBatch(r.own[from:])
	}
	clear(r.own[from:])
	r.own = r.own[:from]
}

// retire forgets all memory, which goes back with the allocator, so that the fast
// paths find none.
func (r *Region) retire() {
	r.generation++
	r.chunks, r.own = nil, nil
	r.enter(0)
}

// regionList is the regions of an allocator that have, or had, chunks and that the
// collector has not found.
type regionList struct {
	mu  sync.Mutex
	all []weak.Pointer[Region]
}

// add counts a region in. Before the list grows, it drops those that the collector has
// found, so that adding takes constant time on average.
func (l *regionList) add(r *Region) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == cap(l.all) {
		l.all = slices.DeleteFunc(l.all, func(p weak.Pointer[Region]) bool { return p.Value() == nil })
		l.all = slices.Grow(l.all, len(l.all)+1)
	}
	l.all = append(l.all, weak.Make(r))
}

// retire makes all calls of all regions fail: their allocator is closed.
func (l *regionList) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.all {
		if r := p.Value(); r != nil {
			r.retire()
		}
	}
	l.all = nil
}

// RegionMark is a moment in the life of a region, for Rewind.
type RegionMark struct {
	region          *Region
	generation      uint64
	end             unsafe.Pointer // of the chunk with the index used-1
	used, room, own int
}

// Mark returns the state of the region as it is now.
func (r *Region) Mark() RegionMark {
	return RegionMark{r, r.generation, r.end, r.used, r.room, len(r.own)}
}

// Rewind frees everything that was allocated since the mark. Chunks are kept,
// blocks of their own are freed. A mark can be used again and again.
//
// A mark of another region and one from before a Reset or Release panic with
// *MisuseError. So does a mark that the region was rewound past, to an earlier one,
// unless the region has grown beyond it again since. After Close of the allocator the
// region is empty, and no mark of it panics.
func (r *Region) Rewind(m RegionMark) {
	reason := ""
	switch {
	case m.region != r:
		reason = "a mark of another region"
	case r.a.closed:
		r.Reset()
		return
	case m.generation != r.generation:
		reason = "a mark from before Reset or Release"
	case m.used > r.used || m.used == r.used && m.room < r.room || m.own > len(r.own) || m.end != r.endOf(m.used):
		reason = "a mark that the region was rewound past"
	}
	if reason != "" {
		panic(&MisuseError{Op: "Rewind", Addr: uintptr(unsafe.Pointer(r)), Reason: reason})
	}
	r.freeOwn(m.own)
	r.enter(m.used)
	r.room = m.room
}

// Copy returns a copy of b in the region.
func (r *Region) Copy(b []byte) ([]byte, error) {
	c, err := r.BytesUninit(len(b))
	if err != nil {
		return nil, err
	}
	clear(c[copy(c, b):cap(c)])
	return c, nil
}

// String returns a copy of s in the region. It is a string as any other until
// its memory is freed, and must not be used afterwards.
func (r *Region) String(s string) (string, error) {
	b, err := r.BytesUninit(len(s))
	if err != nil {
		return "", err
	}
	copy(b, s)
	return unsafe.String(unsafe.SliceData(b), len(s)), nil
}

// RegionNew returns a zero T in the region. T must not contain Go pointers: else
// the error wraps ErrPointers and names the field. The other errors are those
// of Bytes.
//
//go:nosplit
func RegionNew[T any](r *Region) (*T, error) {
	if !isKnown((*T)(nil)) {
		if err := checkPointers((*T)(nil)); err != nil {
			return nil, err
		}
	}
	// Bytes of a size that the compiler knows.
	size := (int(unsafe.Sizeof(*new(T))) + regionAlign - 1) &^ (regionAlign - 1)
	room := r.room - size
	if size == 0 || room < r.dirty {
		b, err := r.slow(int(unsafe.Sizeof(*new(T))), true)
		return (*T)(unsafe.Pointer(unsafe.SliceData(b))), err
	}
	r.room = room
	return (*T)(unsafe.Add(r.end, -room-size)), nil
}

// RegionSlice returns n zero elements in the region; the capacity may be more.
// n < 0 panics as make does. T must not contain Go pointers, as for RegionNew.
func RegionSlice[T any](r *Region, n int) ([]T, error) {
	if !isKnown((*T)(nil)) {
		if err := checkPointers((*T)(nil)); err != nil {
			return nil, err
		}
	}
	if n < 0 {
		return make([]T, n), nil // panics
	}
	size := int(unsafe.Sizeof(*new(T)))
	switch {
	case r.a.closed:
		return nil, r.a.errClosed()
	case size == 0:
		return unsafe.Slice((*T)(unsafe.Pointer(&emptyBlock)), n), nil
	case n > maxInt/size:
		return nil, r.a.failed(fmt.Sprintf("%d elements of %d bytes", n, size), ErrTooLarge)
	}
	b, err := r.Bytes(n * size)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), cap(b)/size)[:n], nil
}

// RegionAppend is append with the memory of the region: within the capacity of s
// it stays where it is; past it s grows in place if it is the newest of the
// region and the chunk has room, and else moves to a new place of at least
// twice the capacity, or of what is needed where there is no memory for that. The old place is not freed. s may be nil, or from
// anywhere else. After an error s is as before.
func RegionAppend[T any](r *Region, s []T, elements ...T) ([]T, error) {
	if r.a.closed {
		return s, r.a.errClosed()
	}
	if len(elements) <= cap(s)-len(s) {
		return append(s, elements...), nil
	}
	need := len(s) + len(elements)
	if grown, ok := growInPlace(r, s, need); ok {
		return append(grown, elements...), nil
	}
	moved, err := RegionSlice[T](r, max(need, 2*cap(s)))
	if err != nil && need < 2*cap(s) {
		moved, err = RegionSlice[T](r, need)
	}
	if err != nil {
		return s, err
	}
	copy(moved, s)
	return append(moved[:len(s)], elements...), nil
}

// growInPlace raises the capacity of s to at least need if it ends where the
// next byte of the region is.
func growInPlace[T any](r *Region, s []T, need int) ([]T, bool) {
	size := int(unsafe.Sizeof(*new(T)))
	first := unsafe.Pointer(unsafe.SliceData(s))
	if cap(s) == 0 || size == 0 || need > arena.MaxReserve/size || r.used == 0 {
		return s, false
	}
	if uintptr(first) < uintptr(r.end)-uintptr(len(r.chunks[r.used-1])) {
		return s, false // memory of another owner, which ends where the chunk begins
	}
	bytes := (cap(s)*size + regionAlign - 1) &^ (regionAlign - 1)
	if bytes-cap(s)*size >= size || uintptr(first)+uintptr(bytes) != uintptr(r.end)-uintptr(r.room) {
		return s, false // the capacity was cut, or others have come since
	}
	more := (need*size - bytes + regionAlign - 1) &^ (regionAlign - 1)
	if more > r.room {
		return s, false
	}
	if _, err := r.Bytes(more); err != nil {
		return s, false
	}
	return unsafe.Slice((*T)(first), (bytes+more)/size)[:len(s)], true
}
