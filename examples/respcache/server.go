package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/tidwall/redcon"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

const (
	// maintenanceInterval is how often expired keys are looked for.
	maintenanceInterval = 100 * time.Millisecond
	// acceptPause keeps a shortage of file descriptors from becoming a busy loop.
	acceptPause = 20 * time.Millisecond
)

// server is the cache and what INFO tells about it.
type server struct {
	memory  *alloc.Allocator
	table   *table.Table
	limit   int64 // bytes, 0 = none
	samples int
	started time.Time
	port    int

	connections sync.WaitGroup // open connections
	clients     atomic.Int64   // their number
	accepted    atomic.Int64   // connections since the start
	commands    rseqcs.Counter // requests handled since the start; every goroutine adds to it
	peak        atomic.Int64   // most bytes backed, as seen by maintenance and INFO
}

func newServer(o options) (*server, error) {
	memory, err := alloc.New(alloc.Options{Name: "respcache", Limit: o.limitBytes})
	if err != nil {
		return nil, err
	}
	t, err := table.New(table.Options{Memory: memory, LimitBytes: o.limitBytes, Samples: o.samples})
	if errors.Is(err, alloc.ErrLimit) {
		err = fmt.Errorf("-maxmemory %s is too small for an empty cache: %w", humanize.IBytes(uint64(o.limitBytes)), err)
	}
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	return &server{
		memory:  memory,
		table:   t,
		limit:   o.limitBytes,
		samples: o.samples,
		started: time.Now(),
	}, nil
}

// close gives all memory back. No connection is open any more.
func (s *server) close() error {
	s.table.Close()
	return s.memory.Close()
}

// serve answers requests until ctx is done, then closes everything in the order
// in which it depends on each other: listener, connections, maintenance, table,
// allocator.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	if address, ok := listener.Addr().(*net.TCPAddr); ok {
		s.port = address.Port
	}
	protocol := redcon.NewServer(listener.Addr().String(), s.handle, s.accept, s.closed)
	protocol.AcceptError = func(err error) {
		log.Printf("respcache: accept: %v", err)
		time.Sleep(acceptPause)
	}
	background, stop := context.WithCancel(context.Background())
	var maintenance sync.WaitGroup
	maintenance.Go(func() { s.maintain(background) })
	closeListener := context.AfterFunc(ctx, func() { listener.Close() })

	err := protocol.Serve(listener) // closes the connections when it ends
	closeListener()
	s.connections.Wait()
	stop()
	maintenance.Wait()
	return errors.Join(err, s.close())
}

func (s *server) accept(redcon.Conn) bool {
	s.connections.Add(1)
	s.clients.Add(1)
	s.accepted.Add(1)
	return true
}

func (s *server) closed(redcon.Conn, error) {
	s.clients.Add(-1)
	s.connections.Done()
}

func (s *server) maintain(ctx context.Context) {
	ticker := time.NewTicker(maintenanceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.table.Maintain()
			s.notePeak(s.memory.Stats().Backed)
		}
	}
}

// notePeak remembers the most bytes seen, and returns them.
func (s *server) notePeak(backed int64) int64 {
	for {
		peak := s.peak.Load()
		if backed <= peak || s.peak.CompareAndSwap(peak, backed) {
			return max(backed, peak)
		}
	}
}
