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

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

const (
	// maintenanceInterval is how often expired keys are looked for.
	maintenanceInterval = 100 * time.Millisecond
	// acceptPause keeps a shortage of file descriptors from becoming a busy loop.
	acceptPause = 20 * time.Millisecond
	// acceptLogInterval keeps it from filling the log.
	acceptLogInterval = time.Second
	// attackLogInterval keeps HTTP requests from filling the log; it is that of Redis.
	attackLogInterval = time.Minute
	// refusalTime bounds the reply to a client beyond -maxclients.
	refusalTime = 100 * time.Millisecond
)

// server is the cache and what INFO tells about it.
type server struct {
	memory     *alloc.Allocator
	table      *table.Table
	buffers    buffers
	limits     resp.Limits
	limit      int64 // bytes, 0 = none
	samples    int
	timeout    time.Duration // after which an idle client is closed, 0 = never
	maxClients int
	started    time.Time
	port       int

	mu      sync.Mutex
	clients map[*client]struct{} // those whose goroutine runs
	serving sync.WaitGroup       // their goroutines

	// evicting holds a value while a client is chosen and closed for its memory.
	evicting chan struct{}

	accepted       atomic.Int64   // connections since the start
	rejected       atomic.Int64   // connections beyond maxClients since the start
	evictedClients atomic.Int64   // closed for their memory since the start
	commands       rseqcs.Counter // requests handled since the start; every goroutine adds to it
	attackLogged   atomic.Int64   // Unix time of the last line about an HTTP request, in nanoseconds; 0 for none
	peak           atomic.Int64   // most bytes backed, as seen by maintenance and INFO
}

func newServer(o options) (*server, error) {
	memory, err := alloc.New(alloc.Options{Name: "respcache", Limit: o.limitBytes})
	if err != nil {
		return nil, err
	}
	t, err := table.New(table.Options{
		Memory: memory, LimitBytes: o.limitBytes, Samples: o.samples, MaxStringBytes: o.limits.BulkBytes,
	})
	if errors.Is(err, alloc.ErrLimit) {
		err = fmt.Errorf("-maxmemory %s is too small for an empty cache: %w", humanize.IBytes(uint64(o.limitBytes)), err)
	}
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	s := &server{
		memory:     memory,
		table:      t,
		limits:     o.limits,
		limit:      o.limitBytes,
		samples:    o.samples,
		timeout:    o.timeout,
		maxClients: o.maxClients,
		started:    time.Now(),
		clients:    map[*client]struct{}{},
		evicting:   make(chan struct{}, 1),
	}
	s.buffers.memory, s.buffers.table = memory, t
	s.buffers.each, s.buffers.total = o.clientLimit, o.clientsLimit
	return s, nil
}

// slowTimeout is how long a request may take to arrive, and a part of the
// replies to be read.
func (s *server) slowTimeout() time.Duration {
	if s.timeout > 0 {
		return min(s.timeout, slowTimeout)
	}
	return slowTimeout
}

// close gives all memory back. No connection is open any more. The table's
// blocks go with the allocator: freeing millions of them one by one takes long.
func (s *server) close() error {
	err := s.memory.Close()
	if held := s.buffers.held.Load(); held != 0 {
		err = errors.Join(err, fmt.Errorf("%d bytes of clients' buffers were not freed", held))
	}
	return err
}

// serve answers requests until ctx is done, then closes everything in the order
// in which it depends on each other: listener, connections, maintenance, allocator.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	if address, ok := listener.Addr().(*net.TCPAddr); ok {
		s.port = address.Port
	}
	background, stop := context.WithCancel(context.Background())
	var maintenance sync.WaitGroup
	maintenance.Go(func() { s.maintain(background) })
	stopListening := context.AfterFunc(ctx, func() { listener.Close() })

	err := s.acceptAll(ctx, listener)
	if stopListening() {
		listener.Close()
	}
	s.table.Stop()
	s.stopClients()
	s.serving.Wait()
	stop()
	maintenance.Wait()
	return errors.Join(err, s.close())
}

// acceptAll accepts connections until the listener is closed. Other errors are
// taken to pass.
func (s *server) acceptAll(ctx context.Context, listener net.Listener) error {
	var logged time.Time
	for {
		connection, err := listener.Accept()
		switch {
		case err == nil:
			s.accept(connection)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			if now := time.Now(); now.Sub(logged) >= acceptLogInterval {
				logged = now
				log.Printf("respcache: accept: %v", err)
			}
			time.Sleep(acceptPause)
		}
	}
}

// accept starts the goroutine of a client, or refuses it.
func (s *server) accept(connection net.Conn) {
	s.accepted.Add(1)
	c := newClient(s, connection)
	s.mu.Lock()
	full := len(s.clients) >= s.maxClients
	if !full {
		s.clients[c] = struct{}{}
		s.serving.Add(1)
		go s.serveClient(c)
	}
	s.mu.Unlock()
	if full {
		s.rejected.Add(1)
		connection.SetWriteDeadline(time.Now().Add(refusalTime))
		connection.Write(resp.AppendError(nil, errMaxClients))
		connection.Close()
	}
}

func (s *server) serveClient(c *client) {
	defer s.serving.Done()
	c.serve()
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
}

// stopClients ends all clients. No other is accepted any more.
func (s *server) stopClients() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.stop()
	}
}

func (s *server) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

// evictClient closes the client that holds the most memory, so that me, which
// will hold willHold bytes, gets the more bytes that it lacks. As Redis does for
// maxmemory-clients: many clients cannot take more than a few, and a large one
// cannot take what all the others need.
func (s *server) evictClient(me *client, willHold, more int64) error {
	select {
	case s.evicting <- struct{}{}:
		defer func() { <-s.evicting }()
	case <-me.stopping:
		return errClosing
	}
	if s.buffers.held.Load()+more <= s.buffers.total {
		return nil // made by the one before
	}
	victim := s.largestClient()
	if victim == nil || victim == me || victim.memory.held.Load() <= willHold {
		return errBusy
	}
	s.evictedClients.Add(1)
	victim.stop()
	select {
	case <-victim.done:
		return nil
	case <-me.stopping:
		return errClosing
	}
}

func (s *server) largestClient() (largest *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := int64(-1)
	for c := range s.clients {
		if held := c.memory.held.Load(); held > most {
			largest, most = c, held
		}
	}
	return largest
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
