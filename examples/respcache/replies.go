package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
)

const (
	// replyBytes is the size of the blocks that replies are collected in.
	replyBytes = 8 << 10
	// ownReplyBytes are in the client itself: most pipelines need no block.
	ownReplyBytes = resp.MaxErrorBytes
	// patience is how long the client's goroutine waits for the connection to
	// take replies before another goroutine sends them.
	patience = 5 * time.Millisecond
	// maxBacklogBytes bounds the replies of a client that wait for it to read; so
	// does a part of what it, and of what all clients may hold. Its requests wait
	// meanwhile.
	maxBacklogBytes = 16 << 20
	backlogShare    = 8
	// slowBytes is what a client must read within slowTimeout.
	slowBytes = 16 << 10
)

// replies collects a client's replies and sends them. As long as the client
// reads, its own goroutine does both. What the connection does not take goes to
// the backlog, which a goroutine of its own sends; requests are served on until
// the backlog is full: a client may send a long pipeline before it reads.
//
// All methods but drain are called by the client's goroutine.
type replies struct {
	connection net.Conn
	memory     *account
	slow       time.Duration // in which slowBytes must be read
	maxBacklog int64         // bytes

	block []byte // replies not flushed: own, or a block of memory
	own   [ownReplyBytes]byte
	err   error // why nothing can be sent any more

	mu       sync.Mutex
	changed  sync.Cond // of what follows
	queue    []unsent  // in the order of sending; the first one is drain's
	queued   int64     // bytes of blocks in queue
	draining bool      // drain runs
	failed   error     // drain's error
}

// unsent is a block and the part of it that has not been sent.
type unsent struct{ block, rest []byte }

func (r *replies) init(connection net.Conn, memory *account, slow time.Duration) {
	r.connection, r.memory, r.slow = connection, memory, slow
	r.maxBacklog = min(maxBacklogBytes, memory.shared.each/backlogShare)
	if total := memory.shared.total; total > 0 {
		r.maxBacklog = min(r.maxBacklog, total/backlogShare)
	}
	r.block = r.own[:0]
	r.changed.L = &r.mu
}

func (r *replies) inOwn() bool { return cap(r.block) == ownReplyBytes }

// release frees the block if nothing is in it.
func (r *replies) release() {
	if len(r.block) == 0 && !r.inOwn() {
		r.memory.Free(r.block)
		r.block = r.own[:0]
	}
}

// space makes block long enough for n more bytes. An error that wraps
// resp.ErrNoRoom leaves space for a line; any other one ends the connection.
func (r *replies) space(n int) error {
	if r.err != nil {
		return r.err
	}
	if n <= cap(r.block)-len(r.block) {
		return nil
	}
	if r.inOwn() && len(r.block)+n <= replyBytes {
		if block := r.memory.try(replyBytes); block != nil {
			r.block = append(block[:0], r.block...)
			return nil
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	if n <= cap(r.block) {
		return nil
	}
	r.release()
	block := r.memory.try(n)
	if block == nil {
		// The client's own backlog goes before another client has to.
		if err := r.waitUntilSent(); err != nil {
			return err
		}
		var err error
		if block, err = r.memory.Resize(nil, 0, n); errors.Is(err, resp.ErrNoRoom) {
			return err
		} else if err != nil {
			return r.fail(err)
		}
	}
	r.block = block[:0]
	return nil
}

func (r *replies) fail(err error) error {
	if r.err == nil {
		r.err = err
	}
	return r.err
}

// flush sends block, or as much of it as the connection takes; the backlog gets
// the rest.
func (r *replies) flush() error {
	if r.err != nil || len(r.block) == 0 {
		return r.err
	}
	r.mu.Lock()
	draining, failed := r.draining, r.failed
	r.mu.Unlock()
	if failed != nil {
		return r.fail(failed)
	}
	rest := r.block
	if !draining {
		r.connection.SetWriteDeadline(time.Now().Add(patience))
		n, err := r.connection.Write(r.block)
		if err == nil {
			r.sent()
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return r.fail(err)
		}
		rest = r.block[n:]
	}
	if !r.inOwn() {
		item := unsent{r.block, rest}
		r.block = r.own[:0]
		return r.enqueue(item)
	}
	if block := r.memory.try(replyBytes); block != nil {
		rest = block[:copy(block, rest)]
		r.block = r.own[:0]
		return r.enqueue(unsent{block, rest})
	}
	if err := r.waitUntilSent(); err != nil {
		return err
	}
	if err := r.send(rest); err != nil {
		return r.fail(err)
	}
	r.sent()
	return nil
}

// sent empties block, and frees it if it is longer than the usual one.
func (r *replies) sent() {
	r.block = r.block[:0]
	if cap(r.block) >= 2*replyBytes {
		r.release()
	}
}

// enqueue adds to the backlog, and waits until it is within its bound.
func (r *replies) enqueue(item unsent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, item)
	r.queued += int64(cap(item.block))
	if !r.draining {
		r.draining = true
		go r.drain()
	}
	for r.draining && r.queued > r.maxBacklog {
		r.changed.Wait()
	}
	if r.failed != nil {
		return r.fail(r.failed)
	}
	return nil
}

// waitUntilSent waits until the backlog is empty.
func (r *replies) waitUntilSent() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.draining {
		r.changed.Wait()
	}
	if r.failed != nil {
		return r.fail(r.failed)
	}
	return r.err
}

// pending reports whether there is a backlog.
func (r *replies) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draining
}

// drain sends the backlog and ends when it is empty. After an error it frees
// what is left.
func (r *replies) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 {
		item, failed := r.queue[0], r.failed
		r.mu.Unlock()
		if failed == nil {
			failed = r.send(item.rest)
		}
		r.memory.Free(item.block)
		r.mu.Lock()
		r.failed = failed
		r.queue[0] = unsent{}
		r.queue = r.queue[1:]
		r.queued -= int64(cap(item.block))
		r.changed.Broadcast()
	}
	r.queue = nil
	r.draining = false
	r.changed.Broadcast()
}

// send writes b as fast as the client reads, if that is fast enough.
func (r *replies) send(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), slowBytes)
		r.connection.SetWriteDeadline(time.Now().Add(r.slow))
		if _, err := r.connection.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// close frees all blocks. The connection is closed, so drain ends soon.
func (r *replies) close() {
	r.fail(errClosing)
	r.waitUntilSent()
	r.block = r.block[:0]
	r.release()
}
