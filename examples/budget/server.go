package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// tenant is one user of the server's memory. Its counts may be read at any time.
type tenant struct {
	name    string
	memory  *alloc.Allocator
	served  atomic.Int64 // allocations
	refused atomic.Int64
	evicted atomic.Int64 // blocks given up for others
	longest atomic.Int64 // ns that AllocWait took

	mu   sync.Mutex
	last error // of the last refusal
}

// server is an allocator with a limit and its tenants.
type server struct {
	memory                       *alloc.Allocator
	steady, queue, cache, greedy *tenant

	mu   sync.Mutex
	kept [][]byte // the cache's, oldest first
}

// Sizes of blocks, in bytes. Those of the queue are half of its limit.
const (
	steadyBlock = 32 << 10
	cacheBlock  = 64 << 10
	greedyBlock = 64 << 10
)

// newServer makes a server of limit bytes. The limits of queue and greedy are
// promises to the others: whatever the two do, the rest of the limit is theirs.
func newServer(limit int64) (s *server, err error) {
	s = &server{}
	if s.memory, err = alloc.New(alloc.Options{Name: "server", Limit: limit, Reclaim: s.reclaim}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, t := range []struct {
		at    **tenant
		name  string
		limit int64
	}{
		{&s.steady, "steady", 0},
		{&s.queue, "queue", limit / 8},
		{&s.cache, "cache", 0},
		{&s.greedy, "greedy", limit / 4},
	} {
		memory, err := s.memory.Child(alloc.Options{Name: t.name, Limit: t.limit})
		if err != nil {
			return nil, err
		}
		*t.at = &tenant{name: t.name, memory: memory}
	}
	return s, nil
}

func (s *server) tenants() (list []*tenant) {
	for _, t := range []*tenant{s.steady, s.queue, s.cache, s.greedy} {
		if t != nil {
			list = append(list, t)
		}
	}
	return list
}

// close gives back everything, what greedy holds too.
func (s *server) close() (err error) {
	for _, t := range s.tenants() {
		err = errors.Join(err, t.memory.Close())
	}
	return errors.Join(err, s.memory.Close())
}

// reclaim is called when the server's limit has no room: the cache gives way. It is
// asked for greedy only as long as greedy is below its own limit.
func (s *server) reclaim(want int64) (freed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) > 0 && freed < max(want, 1<<20) {
		freed += int64(cap(s.kept[0]))
		s.cache.memory.Free(s.kept[0])
		s.kept = s.kept[1:]
		s.cache.evicted.Add(1)
	}
	return freed
}

// work lets the tenants work until ctx is done.
func (s *server) work(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { s.keep(ctx) })
	all.Go(func() { s.hoard(ctx) })
	all.Go(func() { s.steady.serve(ctx, steadyBlock) })
	for range 4 {
		all.Go(func() { s.queue.serve(ctx, int(s.queue.memory.Stats().Limit/2)) })
	}
	all.Wait()
}

// patience is how long a request waits for memory.
const patience = 5 * time.Second

// serve handles requests, each with a block of n bytes.
func (t *tenant) serve(ctx context.Context, n int) {
	for ctx.Err() == nil {
		// A request that has begun is finished, so ctx is not the parent here.
		request, cancel := context.WithTimeout(context.Background(), patience)
		start := time.Now()
		b, err := t.memory.AllocWait(request, n)
		cancel()
		t.waited(time.Since(start))
		if t.note(err) {
			use(b)
			t.memory.Free(b)
		}
	}
}

// keep fills the cache.
func (s *server) keep(ctx context.Context) {
	for ctx.Err() == nil {
		b, err := s.cache.memory.Alloc(cacheBlock)
		if s.cache.note(err) {
			s.mu.Lock()
			s.kept = append(s.kept, b)
			s.mu.Unlock()
		}
		time.Sleep(time.Millisecond / 4)
	}
}

// hoard takes and never frees.
func (s *server) hoard(ctx context.Context) {
	for ctx.Err() == nil {
		if b, err := s.greedy.memory.Alloc(greedyBlock); s.greedy.note(err) {
			use(b)
		}
		time.Sleep(time.Millisecond / 4)
	}
}

// use stands for what a request does.
func use(b []byte) {
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	time.Sleep(time.Millisecond / 2)
}

// note counts an allocation, and reports whether it went well. An error that is
// not about memory is a mistake of the program.
func (t *tenant) note(err error) bool {
	switch {
	case err == nil:
		t.served.Add(1)
	case errors.Is(err, alloc.ErrLimit) || errors.Is(err, alloc.ErrNoMemory):
		t.refused.Add(1)
		t.mu.Lock()
		t.last = err
		t.mu.Unlock()
	default:
		panic(fmt.Sprintf("%s: %v", t.name, err))
	}
	return err == nil
}

func (t *tenant) lastError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func (t *tenant) waited(d time.Duration) {
	for {
		longest := t.longest.Load()
		if int64(d) <= longest || t.longest.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}
