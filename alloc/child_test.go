package alloc

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// child returns a child that the test closes, unless it was closed.
func child(t testing.TB, a *Allocator, o Options) *Allocator {
	t.Helper()
	if o.Reserve == 0 {
		o.Reserve = 16 << 20
	}
	c, err := a.Child(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.closed {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

// checkLimited checks that err is that of a limit, and of whose.
func checkLimited(t *testing.T, err error, name string, limit int64) {
	t.Helper()
	var over *LimitError
	if !errors.Is(err, ErrLimit) || !errors.As(err, &over) || over.Name != name || over.Limit != limit || over.InUse > limit || !strings.Contains(err.Error(), name) {
		t.Fatalf("%v (%+v), want the limit %d of %s", err, over, limit, name)
	}
}

// TestChildLimits fills a tree of allocators up to each of its limits.
func TestChildLimits(t *testing.T) {
	const mib = 1 << 20
	root := open(t, Options{Name: "root", Limit: 6 * mib})
	left := child(t, root, Options{Name: "left", Limit: 4 * mib})
	deep := child(t, left, Options{Name: "deep"})
	right := child(t, root, Options{})
	if left.name != "root/left" || deep.name != "root/left/deep" || right.name != "root/child" {
		t.Errorf("names %s, %s, %s", left.name, deep.name, right.name)
	}
	b := must(t)(deep.Alloc(3 * mib))
	_, err := deep.Alloc(2 * mib)
	checkLimited(t, err, "root/left", 4*mib)
	_, err = left.Alloc(2 * mib)
	checkLimited(t, err, "root/left", 4*mib)
	c := must(t)(right.Alloc(2 * mib))
	_, err = right.Alloc(2 * mib)
	checkLimited(t, err, "root", 6*mib)
	_, err = root.Alloc(2 * mib)
	checkLimited(t, err, "root", 6*mib)
	if s := root.Stats(); s.Charged != 5*mib || s.Live != 0 || left.Stats().Charged != 3*mib || right.Stats().Charged != 2*mib {
		t.Errorf("charged %d, live %d; children %d and %d", s.Charged, s.Live, left.Stats().Charged, right.Stats().Charged)
	}
	// What one has free is given to the other, whatever cache it lies in.
	deep.Free(b)
	var small [][]byte
	for range 1000 {
		small = append(small, must(t)(deep.Alloc(1000)))
	}
	deep.FreeBatch(small)
	d := must(t)(right.Alloc(4*mib - 8192))
	right.Free(c)
	right.Free(d)
	// A block is its own allocator's alone.
	e := must(t)(deep.Alloc(100))
	if _, ok := panicOf(func() { root.Free(e) }).(*MisuseError); !ok {
		t.Error("the parent frees a child's block")
	}
	deep.Free(e)
}

// TestChildLives opens and closes children, and uses what is closed.
func TestChildLives(t *testing.T) {
	root := open(t, Options{Limit: 4 << 20})
	c := child(t, root, Options{Limit: 2 << 20})
	must(t)(c.Alloc(1 << 20)) // stays in use
	if err := root.Close(); err == nil || root.closed {
		t.Fatalf("closed with an open child: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := root.Stats().Charged; got != 0 {
		t.Errorf("%d bytes are charged after Close", got)
	}
	if _, err := c.Child(Options{}); !errors.Is(err, ErrClosed) {
		t.Errorf("child of a closed one: %v", err)
	}
	if _, err := root.Child(Options{Limit: 1}); err == nil {
		t.Error("a child with a limit of one byte")
	}
	if root.budget.Below() != 0 {
		t.Errorf("%d children", root.budget.Below())
	}
}

// TestReclaimIsLookedFor has an allocator refuse for so long that it no longer looks
// for memory each time, and then frees some that only a look can find.
func TestReclaimIsLookedFor(t *testing.T) {
	if os.Getpagesize() > arena.PageSize {
		t.Skip("nothing is to be found: no part of a span has an OS page of its own")
	}
	const size, other, given = 4 << 10, 40 << 10, 16 // other is pages that nothing keeps
	var blocks [][]byte
	give := false
	var a *Allocator
	a = open(t, Options{Limit: 1 << 20, Reclaim: func(int64) int64 {
		if !give {
			return 0
		}
		give = false
		// Every other one, or whole spans would be free.
		for i := range given {
			a.Free(blocks[2*i])
			blocks[2*i] = nil
		}
		return given * size
	}})
	refuse := func(times int) {
		for refused := 0; refused < times; refused++ {
			if b, err := a.AllocUninit(size); err == nil {
				blocks, refused = append(blocks, b), 0
			}
		}
	}
	outOfReach := !reachesOtherVCPUs() // This goroutine may go to another P in Reclaim.
	refuse(20_000)                     // What looking takes is bounded in time, so there is an end to it.
	// As time goes by a single look becomes possible again, which may find what another
	// vCPU or P has kept: then it was not Reclaim's turn.
	for reclaimed, tries := 0, 0; reclaimed < 20; tries++ {
		if tries == 200 {
			t.Fatalf("only %d times of %d memory had to be reclaimed", reclaimed, tries)
		}
		refuse(1000)
		slices.SortFunc(blocks, func(a, b []byte) int {
			return cmp.Compare(uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(unsafe.SliceData(b))))
		})
		refuse(100)
		give = true
		b, err := a.AllocUninit(other)
		if err != nil && !outOfReach {
			t.Fatal(err)
		}
		if !give {
			reclaimed++
		}
		give = false
		a.Free(b)
		blocks = slices.DeleteFunc(blocks, func(b []byte) bool { return b == nil })
	}
	a.FreeBatch(blocks)
}

// TestReclaim lets a cache give way.
func TestReclaim(t *testing.T) {
	root := open(t, Options{Name: "root", Limit: 4 << 20, Reclaim: func(int64) int64 { return 0 }})
	var cached [][]byte
	var calls atomic.Int64
	var cache *Allocator
	cache = child(t, root, Options{Reclaim: func(want int64) (freed int64) {
		calls.Add(1)
		for len(cached) > 0 && freed < want {
			freed += int64(cap(cached[0]))
			cache.Free(cached[0])
			cached = cached[1:]
		}
		return freed
	}})
	for range 30 {
		cached = append(cached, must(t)(cache.Alloc(512<<10)))
	}
	if calls.Load() == 0 || len(cached) >= 9 {
		t.Errorf("%d calls, %d blocks of 512 KiB in 4 MiB", calls.Load(), len(cached))
	}
	// The cache is not asked for a limit above which it does not stand.
	calls.Store(0)
	if _, err := root.Alloc(4 << 20); !errors.Is(err, ErrLimit) || calls.Load() != 0 {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
	cache.FreeBatch(cached)
}

// TestAllocWait waits in order, until ctx is done, and not for what cannot be.
func TestAllocWait(t *testing.T) {
	const limit = 1 << 20
	a := open(t, Options{Limit: limit})
	full := must(t)(a.Alloc(limit))
	if _, err := a.AllocWait(t.Context(), limit+1); !errors.Is(err, ErrLimit) {
		t.Errorf("more than the limit: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.AllocWait(short, 1000); !errors.Is(err, ErrLimit) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a short wait: %v", err)
	}
	over, cancelled := context.WithCancel(t.Context())
	cancelled()
	for range 20 { // of two ways that are open, select takes any
		if _, err := a.AllocWait(over, 1000); !errors.Is(err, ErrLimit) || !errors.Is(err, context.Canceled) {
			t.Fatalf("a wait that was over before it began: %v", err)
		}
	}
	const waiters = 5
	got := make(chan int)
	var all sync.WaitGroup
	for i := range waiters {
		queued := len(a.waiting.turns)
		all.Go(func() {
			b, err := a.AllocWait(t.Context(), limit)
			if err != nil {
				t.Error(err)
				return
			}
			got <- i
			a.Free(b)
		})
		for waiting := queued; waiting == queued; time.Sleep(time.Millisecond) {
			a.waiting.mu.Lock()
			waiting = len(a.waiting.turns)
			a.waiting.mu.Unlock()
		}
	}
	a.Free(full)
	for want := range waiters {
		if i := <-got; i != want {
			t.Errorf("waiter %d is served before waiter %d", i, want)
		}
	}
	all.Wait()
	if len(a.waiting.turns) != 0 {
		t.Errorf("%d are waiting for nothing", len(a.waiting.turns))
	}
}

// TestChildrenAtOnce opens, uses and closes children of two levels in many
// goroutines, under limits that are too small for all of them.
func TestChildrenAtOnce(t *testing.T) {
	const limit, goroutines, turns = 8 << 20, 6, 25
	root := open(t, Options{Name: "root", Limit: limit, ReleaseDelay: minReleaseDelay})
	seed := steady.Random(t).Uint64()
	var refused, served atomic.Int64
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(g)))
			for range turns {
				tenant, err := root.Child(Options{Limit: 4 << 20, Reserve: 16 << 20})
				if err != nil {
					t.Error(err)
					return
				}
				query, err := tenant.Child(Options{Reserve: 16 << 20})
				if err != nil {
					t.Error(err)
					return
				}
				var blocks [][]byte
				for range 200 {
					b, err := query.AllocUninit(1 + random.IntN(1<<random.IntN(19)))
					switch {
					case err == nil:
						served.Add(1)
						fill(b, byte(g))
						blocks = append(blocks, b)
					case errors.Is(err, ErrLimit):
						refused.Add(1)
					default:
						t.Error(err)
					}
					if len(blocks) > 0 && random.IntN(2) == 0 {
						last := len(blocks) - 1
						if i := firstOther(blocks[last], byte(g)); i >= 0 {
							t.Errorf("byte %d of a block was written by another", i)
						}
						query.Free(blocks[last])
						blocks = blocks[:last]
					}
					if charged := root.budget.Charged(); charged > limit+goroutines<<20 {
						t.Errorf("%d bytes are charged, the limit is %d", charged, limit)
					}
				}
				if err := errors.Join(query.Close(), tenant.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d blocks, %d refused", served.Load(), refused.Load())
	if got := root.Stats().Charged; got != 0 {
		t.Errorf("%d bytes are charged when all children are closed", got)
	}
}
