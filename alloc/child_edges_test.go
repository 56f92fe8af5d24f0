package alloc

import (
	"context"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// TestChildInherits: what a child has from its parent, unless told otherwise.
func TestChildInherits(t *testing.T) {
	const reserve, delay = 48 << 20, 50 * time.Millisecond
	root := open(t, Options{Reserve: reserve, ReleaseDelay: delay})
	inherits := func(a *Allocator, o Options) *Allocator {
		t.Helper()
		c, err := a.Child(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	space := func(a *Allocator) int64 { return a.Stats().Reserved }
	c := inherits(root, Options{})
	if c.options.ReleaseDelay != delay || space(c) != space(root) {
		t.Errorf("delay %v and %d bytes of addresses, the parent has %d", c.options.ReleaseDelay, space(c), space(root))
	}
	if own := inherits(root, Options{ReleaseDelay: time.Hour}); own.options.ReleaseDelay != time.Hour {
		t.Errorf("a delay of its own: %v", own.options.ReleaseDelay)
	}
	limited := inherits(root, Options{Limit: 1 << 20})
	if space(limited) >= space(root) {
		t.Errorf("with a limit %d bytes of addresses, the parent has %d", space(limited), space(root))
	}
	if below := inherits(limited, Options{}); space(below) != space(limited) {
		t.Errorf("below a limit %d bytes of addresses, the parent has %d", space(below), space(limited))
	}
}

// TestReclaimAsksUpToTheLimit: of those on the way from an allocator to the limit
// that has no room each is asked once, and nobody above.
func TestReclaimAsksUpToTheLimit(t *testing.T) {
	var asked string
	var freed int64
	ask := func(name string) func(int64) int64 {
		return func(int64) int64 { asked += name; return freed }
	}
	root := open(t, Options{Limit: 8 << 20, Reclaim: ask("r")})
	middle := child(t, root, Options{Limit: 2 << 20, Reclaim: ask("m")})
	leaf := child(t, middle, Options{Reclaim: ask("l")})
	for _, size := range []int{3 << 20, 2<<20 + 1} {
		asked = ""
		if _, err := leaf.Alloc(size); !errors.Is(err, ErrLimit) || asked != "lm" {
			t.Errorf("asked %q, want lm; %v", asked, err)
		}
	}
	// Whoever has freed something is believed, and asked no second time.
	freed, asked = 1, ""
	if _, err := leaf.Alloc(3 << 20); !errors.Is(err, ErrLimit) || asked != "lm" {
		t.Errorf("asked %q, want lm; %v", asked, err)
	}
	asked = ""
	if _, err := middle.Alloc(3 << 20); !errors.Is(err, ErrLimit) || asked != "m" {
		t.Errorf("asked %q, want m; %v", asked, err)
	}
}

// TestWaitersLeave: who gives up waiting, wherever in the queue, changes nothing for
// the others.
func TestWaitersLeave(t *testing.T) {
	var w waitList
	isTurn := func(turn chan struct{}) bool {
		select {
		case <-turn:
			return true
		default:
			return false
		}
	}
	var turns []chan struct{}
	for range 5 {
		turns = append(turns, w.enter())
	}
	check := func(want ...bool) {
		t.Helper()
		for i, turn := range turns {
			if isTurn(turn) != want[i] {
				t.Errorf("waiter %d: its turn: %t, want %t", i, !want[i], want[i])
			}
		}
	}
	check(true, false, false, false, false)
	w.leave(turns[2]) // from the middle
	w.leave(turns[4]) // from the end
	check(true, false, false, false, false)
	w.leave(turns[0])
	check(true, true, false, false, false)
	w.leave(turns[1])
	check(true, true, false, true, false)
	w.leave(turns[3])
	if len(w.turns) != 0 || !isTurn(w.enter()) {
		t.Errorf("%d are left", len(w.turns))
	}
}

// TestWaitIsLeft: after a call that has given up another one gets its turn.
func TestWaitIsLeft(t *testing.T) {
	a := open(t, Options{Limit: 1 << 20})
	full := must(t)(a.Alloc(1 << 20))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := a.AllocWait(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	a.Free(full)
	a.Free(must(t)(a.AllocWait(t.Context(), 1<<20)))
}

// spendRescue makes a heap refuse without a look for free memory from now on, as if looks
// had just taken an hour.
func spendRescue(h *arena.Heap) {
	set := func(name string, value any) {
		field := reflect.ValueOf(h).Elem().FieldByName("rescue").FieldByName(name)
		reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(value))
	}
	set("spent", time.Hour)
	set("until", time.Now())
}

// TestAllocWaitLooksForMemory: a call that waits looks for free memory that no call of Alloc
// looks for any more.
func TestAllocWaitLooksForMemory(t *testing.T) {
	if os.Getpagesize() > arena.PageSize {
		return // no part of a span has an OS page of its own
	}
	const size, limit = 4 << 10, 1 << 20
	a := open(t, Options{Limit: limit})
	var blocks [][]byte
	for {
		b, err := a.Alloc(size)
		if err != nil {
			break
		}
		blocks = append(blocks, b)
	}
	for i := range blocks { // every other one, or whole spans would be free
		if i%2 == 0 {
			a.Free(blocks[i])
		}
	}
	spendRescue(&a.heap)
	if b, err := a.Alloc(limit / 4); err == nil {
		t.Fatalf("%d bytes without a look", len(b))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b, err := a.AllocWait(ctx, limit/4)
	if err != nil {
		t.Fatalf("half of the limit is free: %v", err)
	}
	a.Free(b)
	for i := range blocks {
		if i%2 != 0 {
			a.Free(blocks[i])
		}
	}
}
