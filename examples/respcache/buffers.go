package main

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

var (
	errClientLimit = errors.New("a request and the replies not read yet need more than -client-limit")
	errClosing     = errors.New("the server closes the connection")
	errBusy        = fmt.Errorf("the buffers of all clients are at -maxmemory-clients: %w", resp.ErrNoRoom)
)

// buffers is the memory of all clients' requests and replies. Blocks come from
// the allocator of the table, so they are within -maxmemory, and the table evicts
// keys to make room for them.
//
//	sum of the clients' account.held <= held <= total, if total > 0
//
// The difference is what is being allocated or freed.
type buffers struct {
	memory *alloc.Allocator
	table  *table.Table
	each   int64 // bytes that one client may hold
	total  int64 // bytes that all may hold, 0 = no bound
	held   atomic.Int64
}

// take adds n bytes to held unless that is too much.
func (b *buffers) take(n int64) bool {
	for {
		held := b.held.Load()
		if b.total > 0 && held+n > b.total {
			return false
		}
		if b.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

// account is one client's share of buffers. The client's goroutine allocates;
// the goroutine that sends its backlog frees, too.
//
// held is the capacity of the client's blocks, in bytes.
type account struct {
	shared *buffers
	held   atomic.Int64
	// evict makes another client give its buffers back, for one that will hold
	// so many bytes and needs more of them than there are. Its error says that
	// no client holds more, or that this one is being closed.
	evict func(willHold, more int64) error
}

// Resize makes a resp.Memory of an account. It closes other clients for a block
// that does not fit under -maxmemory-clients, and evicts keys for one that does
// not fit under -maxmemory.
func (a *account) Resize(block []byte, used, n int) ([]byte, error) {
	more := int64(alloc.GoodSize(n) - cap(block))
	if a.held.Load()+more > a.shared.each {
		return nil, errClientLimit
	}
	for !a.shared.take(more) {
		if err := a.evict(a.held.Load()+more, more); err != nil {
			return nil, err
		}
	}
	return a.resize(block, used, n, more)
}

// try returns a block of n bytes or more, nil if the client or all clients
// together hold too much already. It closes no client.
func (a *account) try(n int) []byte {
	more := int64(alloc.GoodSize(n))
	if a.held.Load()+more > a.shared.each || !a.shared.take(more) {
		return nil
	}
	block, _ := a.resize(nil, 0, n, more)
	return block
}

// resize does the work of Resize. more bytes have been added to buffers.held.
func (a *account) resize(block []byte, used, n int, more int64) (resized []byte, err error) {
	err = a.shared.table.WithRoom(n, func() (err error) {
		if cap(block) == 0 {
			resized, err = a.shared.memory.AllocUninit(n)
		} else {
			// An empty slice would stand for no block.
			resized, err = a.shared.memory.ReallocUninit(block[:max(used, 1)], n)
		}
		return err
	})
	if err != nil {
		a.shared.held.Add(-more)
		if errors.Is(err, table.ErrOutOfMemory) {
			err = fmt.Errorf("no key is left to evict: %w", resp.ErrNoRoom)
		}
		return nil, err
	}
	grown := int64(cap(resized) - cap(block))
	a.shared.held.Add(grown - more)
	a.held.Add(grown)
	return resized[:cap(resized)], nil
}

// Free gives a block back.
func (a *account) Free(block []byte) {
	n := int64(cap(block))
	a.shared.memory.Free(block[:n])
	a.held.Add(-n)
	a.shared.held.Add(-n) // last: see buffers
}
