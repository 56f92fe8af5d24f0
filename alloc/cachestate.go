package alloc

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
	"weak"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// cacheState is what a Cache has but for its fast path and its type. Nothing in it
// points to the Cache, so that the collector finds a Cache that the program has
// dropped; its cleanup (drop) then works on the state.
//
//	objects that exist = in use + in magazines + len(shared)
type cacheState struct {
	a       *Allocator
	name    string
	class   int                         // of the objects' blocks
	size    int                         // of a block in bytes
	move    int                         // objects between a magazine and the shared list at once
	objects weak.Pointer[rseqcs.Single] // of the Cache

	magazines *rseqcs.Stack // of one class, theClass
	existing  atomic.Int64  // objects
	built     atomic.Int64  // objects ever
	reserved  atomic.Int64  // bytes of addresses that magazines were retired with

	draining sync.Mutex // reclaim and close, one at a time; taken before mu

	// mu guards these two. No other lock is taken under it, and nothing called.
	//
	//	len(shared) <= cap(shared) = CacheOptions.Shared; closed: shared == nil
	mu     sync.Mutex
	shared []unsafe.Pointer
	closed bool
}

// theClass is the class of a cache's magazines, which have no other.
const theClass = 0

// refill returns an object of the shared list, or else a new one of build. Without
// memory for one it takes what other vCPUs keep, where it can.
func (s *cacheState) refill(build func() (unsafe.Pointer, error)) (unsafe.Pointer, error) {
	if p, err := s.fromShared(); p != nil || err != nil {
		return p, err
	}
	p, err := build()
	if isFull(err) && s.reclaim() {
		if p, err := s.fromShared(); p != nil || err != nil {
			return p, err
		}
		return build()
	}
	return p, err
}

// fromShared moves objects from the shared list to this vCPU's magazine and
// returns one of them, or nil.
func (s *cacheState) fromShared() (unsafe.Pointer, error) {
	var array [maxMove]unsafe.Pointer
	n, err := s.takeShared(array[:s.move])
	if n == 0 {
		return nil, err
	}
	kept := 1 + s.magazines.PushBatch(theClass, array[1:n])
	s.putShared(array[kept:n])
	return array[0], nil
}

// reclaim moves the objects of all magazines to the shared list, and reports
// whether the cache is still open.
func (s *cacheState) reclaim() bool {
	s.draining.Lock()
	defer s.draining.Unlock()
	if s.isClosed() {
		return false
	}
	s.magazines.Drain(func(_ int, objects []unsafe.Pointer) { s.putShared(objects) })
	return true
}

func (s *cacheState) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// takeShared moves objects from the shared list into the array, newest first,
// and returns how many.
func (s *cacheState) takeShared(into []unsafe.Pointer) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	rest := max(0, len(s.shared)-len(into))
	n := copy(into, s.shared[rest:])
	slices.Reverse(into[:n])
	s.shared = s.shared[:rest]
	return n, nil
}

// putShared moves objects to the shared list, and those that it has no room for to
// the allocator. It returns an object that was found to be free already, or nil.
func (s *cacheState) putShared(objects []unsafe.Pointer) (duplicate unsafe.Pointer) {
	s.mu.Lock()
	n := min(len(objects), cap(s.shared)-len(s.shared)) // closed: 0
	s.shared = append(s.shared, objects[:n]...)
	s.mu.Unlock()
	return s.free(objects[n:])
}

// free gives objects back to the allocator. It returns one that was found to be free
// already, or nil: an earlier call has put or freed it twice.
func (s *cacheState) free(objects []unsafe.Pointer) (duplicate unsafe.Pointer) {
	for _, p := range objects {
		if s.a.heap.ClassAt(p) != uint8(s.class) {
			duplicate = p // its pages are no span of the class any more
			continue
		}
		also := s.a.heap.Free(uint8(s.class), p)
		if also != nil {
			duplicate = also
		}
		if also != p {
			s.existing.Add(-1)
		}
	}
	return duplicate
}

// push puts an object for which the magazine has no room, and finds out about misuse.
func (s *cacheState) push(p unsafe.Pointer) {
	if p == nil {
		return
	}
	if s.a.heap.ClassAt(p) != uint8(s.class) {
		panic(s.misuse(p))
	}
	switch s.magazines.Push(theClass, p) {
	case rseqcs.Pushed:
		return
	case rseqcs.Duplicate:
		panic(s.doublePut(p, "double put"))
	}
	var array [maxMove]unsafe.Pointer
	n := s.magazines.PopBatch(theClass, array[:s.move])
	again := slices.Contains(array[:n], p)
	duplicate := s.putShared(array[:n])
	if again {
		panic(s.doublePut(p, "double put"))
	}
	// The object goes on top, where a second Put of it is seen.
	switch s.magazines.Push(theClass, p) {
	case rseqcs.Duplicate:
		panic(s.doublePut(p, "double put"))
	case rseqcs.Full:
		array[0] = p
		switch also := s.putShared(array[:1]); also {
		case nil:
		case p:
			panic(s.doublePut(p, "double put"))
		default:
			duplicate = also
		}
	}
	if duplicate != nil {
		panic(s.doublePut(duplicate, fmt.Sprintf("double put or free by an earlier call, detected while putting %p (that put succeeded)", p)))
	}
}

func (s *cacheState) doublePut(p unsafe.Pointer, reason string) *MisuseError {
	return &MisuseError{Op: "Put", Addr: uintptr(p), Size: s.size, Reason: reason + ", cache " + s.name}
}

// misuse describes a Put with an address at which no object can start.
func (s *cacheState) misuse(p unsafe.Pointer) *MisuseError {
	e := s.a.misuse("Put", p)
	if usable := s.a.heap.UsableSize(p); usable != 0 {
		e.Size, e.Reason = usable, "a block of another size than the cache's"
	}
	e.Reason += ", no object of cache " + s.name
	return e
}

func (s *cacheState) failed(err error) error {
	e := callError{err: err}
	if of, ok := err.(*callError); ok {
		e = *of
	}
	e.cache = s.name
	return &e
}

// takeAll closes the shared list and returns what was in it; ok is false if it was
// closed already.
func (s *cacheState) takeAll() (objects []unsafe.Pointer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, s.shared = s.shared, nil
	ok, s.closed = !s.closed, true
	return objects, ok
}

// close gives all objects that the cache keeps back to the allocator. Calls that were
// about to use the magazines may still look there, so their addresses stay.
func (s *cacheState) close() error {
	kept, ok := s.takeAll()
	if !ok {
		return s.failed(ErrClosed)
	}
	s.retireMagazines(func(objects []unsafe.Pointer) { kept = append(kept, objects...) })
	if duplicate := s.freeKept(kept); duplicate != nil {
		return s.failed(s.doublePut(duplicate, "double put or free by an earlier call, detected while closing (which succeeded)"))
	}
	return nil
}

// freeKept gives all objects that the cache keeps back to the allocator. What it keeps
// twice, an earlier call has put twice: it is freed once, and returned.
func (s *cacheState) freeKept(kept []unsafe.Pointer) (duplicate unsafe.Pointer) {
	slices.SortFunc(kept, func(p, q unsafe.Pointer) int { return cmp.Compare(uintptr(p), uintptr(q)) })
	for i, p := range kept {
		if i > 0 && p == kept[i-1] {
			duplicate = p
		}
	}
	if also := s.free(slices.Compact(kept)); also != nil {
		duplicate = also
	}
	return duplicate
}

// retireMagazines leads all later calls to the slow paths and empties the magazines for
// good.
func (s *cacheState) retireMagazines(give func(objects []unsafe.Pointer)) {
	if objects := s.objects.Value(); objects != nil {
		objects.RefusePut()
	}
	s.draining.Lock()
	defer s.draining.Unlock()
	s.a.caches.remove(s)
	s.magazines.Shut(func(_ int, objects []unsafe.Pointer) { give(objects) })
	reserved := s.magazines.Reserved()
	s.reserved.Store(reserved)
	retired.Add(reserved)
}

// retire is close for an allocator that is closed: the objects are gone.
func (s *cacheState) retire() {
	if _, ok := s.takeAll(); ok {
		s.retireMagazines(func([]unsafe.Pointer) {})
	}
}

// drop is the cleanup of a Cache that is unreachable: no call of it runs or will run.
// It gives the objects back, unless the cache or the allocator is closed, and the
// addresses of the magazines.
func (s *cacheState) drop() {
	s.a.caches.dropping.Lock()
	if kept, ok := s.takeAll(); ok {
		s.magazines.Empty(func(_ int, objects []unsafe.Pointer) { kept = append(kept, objects...) })
		s.freeKept(kept)
		s.a.caches.remove(s)
	}
	s.a.caches.dropping.Unlock()
	s.magazines.Close()
	retired.Add(-s.reserved.Load())
}

// cacheList is the open caches of an allocator.
type cacheList struct {
	dropping sync.Mutex // of caches that the collector has found, and Close, one at a time; taken first

	mu  sync.Mutex // the magazines of what is in all are mapped while it is held
	all map[*cacheState]bool
}

func (l *cacheList) add(s *cacheState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[*cacheState]bool)
	}
	l.all[s] = true
}

func (l *cacheList) remove(s *cacheState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, s)
}

// retire makes all calls of all caches fail: their allocator is closed. It waits for
// the cleanup of a cache that is giving objects back.
func (l *cacheList) retire() {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	all := make([]*cacheState, 0, len(l.all))
	for s := range l.all {
		all = append(all, s)
	}
	l.mu.Unlock()
	for _, s := range all {
		s.retire()
	}
}

// sizes returns the memory that the magazines take and their address space, in bytes.
func (l *cacheList) sizes() (footprint, reserved int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.all {
		footprint += s.magazines.Footprint()
		reserved += s.magazines.Reserved()
	}
	return footprint, reserved
}

// retired is how many bytes of addresses closed caches of the process have that the
// collector has not given back, and retiredKept how many that were after the last
// collection that was made for them: the program may keep closed caches.
var retired, retiredKept atomic.Int64

// retiredMost is how many bytes more than retiredKept make a collection worth it.
const retiredMost = 64 << 20

// collectRetired makes the collector give back the addresses of closed caches.
func collectRetired() {
	before := retired.Load()
	runtime.GC()
	// Cleanups run in a goroutine of the runtime, behind the collection.
	const patience = time.Second
	for end, last := time.Now().Add(patience), int64(-1); last != retired.Load() && time.Now().Before(end); {
		if now := retired.Load(); now < before {
			last = now // the first are gone; until there are no more of them
		}
		time.Sleep(time.Millisecond)
	}
	retiredKept.Store(retired.Load())
}
