package alloc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Child returns an allocator with a budget below a's: the memory that it takes counts
// towards its own limit and towards those of a and all above. Its name is a's
// with its own behind a slash ("child" by default); its ReleaseDelay,
// ReleaseRate, Retain, Placement and HugePages are a's by default. Its Reserve is a's,
// too, unless a, the child or one above has a limit: then it is four times the tightest.
//
// A child has caches and pages of its own. So what a tenant does costs others no
// locks, its blocks are freed through it alone, and its Close gives back all of
// its memory at once, blocks in use too. It takes 256 KiB of address space for each
// vCPU and P more than its Reserve, and a few mappings (docs/memory.md). Where a limit is
// shared, the free memory of its other users is returned before an allocation fails.
func (a *Allocator) Child(o Options) (*Allocator, error) {
	if a.closed {
		return nil, a.errClosed()
	}
	if o.Name == "" {
		o.Name = "child"
	}
	o.Name = a.name + "/" + o.Name
	if o.ReleaseDelay == 0 {
		o.ReleaseDelay = a.options.ReleaseDelay
	}
	if o.ReleaseRate == 0 {
		o.ReleaseRate = a.options.ReleaseRate
	}
	if o.Retain == 0 {
		o.Retain = a.options.Retain
	}
	if o.HugePages == 0 {
		o.HugePages = a.options.HugePages
	}
	if o.Placement == 0 {
		o.Placement = a.options.Placement
	}
	if o.Reserve == 0 && a.options.Reserve != 0 && a.budget.Limit() == 0 && o.Limit == 0 {
		o.Reserve = a.options.Reserve
	}
	return newAllocator(o, a)
}

// askForRoom calls the Reclaim functions of the allocator and of those above whose
// limit has no room, and reports whether any has freed something, so that it is
// worth another try.
func (a *Allocator) askForRoom(err error) bool {
	var limit *LimitError
	if !errors.As(err, &limit) {
		return false
	}
	freed := int64(0)
	for above := a; above != nil; above = above.parent {
		if reclaim := above.options.Reclaim; reclaim != nil {
			freed += reclaim(limit.Want)
		}
		if above.name == limit.Name {
			break // the limits above have room
		}
	}
	if freed > 0 {
		a.heap.LookAgain()
	}
	return freed > 0
}

// waitList is the queue of an allocator's AllocWait: whoever is first tries, the
// others wait for their turn.
type waitList struct {
	ended chan struct{} // closed when the allocator is about to be

	mu      sync.Mutex
	turns   []chan struct{} // closed for the first one
	closed  bool
	waiting sync.WaitGroup // calls between enter and leave
}

// enter queues up, and returns the channel that is closed when it is one's turn, or
// nil after end.
func (w *waitList) enter() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.waiting.Add(1)
	turn := make(chan struct{})
	if w.turns = append(w.turns, turn); len(w.turns) == 1 {
		close(turn)
	}
	return turn
}

// leave gives the turn, or the place in the queue, away.
func (w *waitList) leave(turn chan struct{}) {
	defer w.waiting.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.turns {
		if other != turn {
			continue
		}
		w.turns = append(w.turns[:i], w.turns[i+1:]...)
		if i == 0 && len(w.turns) > 0 {
			close(w.turns[0])
		}
		return
	}
}

// end makes all calls return that wait, and waits until they have.
func (w *waitList) end() {
	w.mu.Lock()
	if !w.closed {
		close(w.ended)
	}
	w.closed = true
	w.mu.Unlock()
	w.waiting.Wait()
}

func (w *waitList) isEnded() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// A waiting call tries again after these pauses: what others free goes to their
// magazines, and tells nobody.
const (
	firstPause = 100 * time.Microsecond
	lastPause  = 20 * time.Millisecond
)

// AllocWait is Alloc that waits while a limit has no room, until ctx is done. Calls
// that wait get their blocks in the order in which they came; a call of Alloc may
// come first. The error wraps that of ctx and, if it was the call's turn, the last
// *LimitError; or it is another one of Alloc, which is returned at once, as is a limit below n bytes.
// Close of the allocator ends the wait with ErrClosed.
func (a *Allocator) AllocWait(ctx context.Context, n int) ([]byte, error) {
	turn := a.waiting.enter()
	if turn == nil {
		return nil, a.errClosed()
	}
	defer a.waiting.leave(turn)
	select {
	case <-turn:
	case <-a.waiting.ended:
		return nil, a.errClosed()
	case <-ctx.Done():
		select {
		case <-turn: // one try, even so
		default:
			return nil, a.failed(fmt.Sprintf("%d bytes: waiting for others", n), ctx.Err())
		}
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if a.waiting.isEnded() {
			return nil, a.errClosed()
		}
		b, err := a.Alloc(n)
		var limit *LimitError
		if err == nil || !errors.As(err, &limit) || limit.Want > limit.Limit {
			return b, err
		}
		select {
		case <-time.After(pause):
			a.heap.LookAgain()
		case <-a.waiting.ended:
			return nil, a.errClosed()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}
