package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
)

const (
	// ownInputBytes are in the client itself: an idle client has no block. One
	// that fills them gets a block of inputBytes, until it is idle for inputIdle.
	ownInputBytes = 512
	inputBytes    = 8 << 10
	inputIdle     = time.Second

	// A request must be complete in slowTimeout, or in -timeout if that is
	// shorter, and a second more for each slowRate bytes that have arrived.
	slowTimeout = time.Minute
	slowRate    = 16 << 10

	// lingerTime is how long the server reads on after it has sent an error and
	// ended its side: closing at once could destroy the error on its way.
	lingerTime = time.Second
)

// client is one connection. Its goroutine runs serve; other goroutines call stop
// only.
type client struct {
	server     *server
	connection net.Conn
	memory     account
	parser     resp.Parser
	replies    replies

	input      []byte // for what is received: ownInput, or a block
	ownInput   [ownInputBytes]byte
	waiting    time.Time // since when bytes are waited for
	unfinished time.Time // since when those of a request that has begun are, zero if none has
	quits      bool      // after QUIT and its reply, or an HTTP request

	stopOnce sync.Once
	stopping chan struct{} // closed by stop
	done     chan struct{} // closed when all blocks are free
}

func newClient(s *server, connection net.Conn) *client {
	c := &client{
		server:     s,
		connection: connection,
		stopping:   make(chan struct{}),
		done:       make(chan struct{}),
	}
	c.memory.shared = &s.buffers
	c.memory.evict = func(willHold, more int64) error { return s.evictClient(c, willHold, more) }
	c.parser.Init(s.limits, &c.memory)
	c.replies.init(connection, &c.memory, s.slowTimeout())
	c.input = c.ownInput[:]
	return c
}

// stop ends the client without replies. Its goroutine notices at its next
// request, key, read or write.
func (c *client) stop() {
	c.stopOnce.Do(func() {
		close(c.stopping)
		c.connection.Close()
	})
}

// ended reports whether replies are of no use any more: a command of many keys
// gives up then.
func (c *client) ended() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return c.replies.err != nil
	}
}

// serve handles requests until the connection ends.
//
// A panic here is a fault of the server: it is not recovered, since a shard's
// lock may be held and its entries may be half changed. Go prints it, and the
// process ends.
func (c *client) serve() {
	err := c.handleAll()
	var protocolError resp.ProtocolError
	switch {
	case errors.As(err, &protocolError):
		c.writeError("ERR " + protocolError.Error())
		c.linger()
	case errors.Is(err, errClientLimit):
		c.writeError(fmt.Sprintf("ERR %v (%d bytes)", errClientLimit, c.server.buffers.each))
		c.linger()
	case errors.Is(err, errQuit):
		c.linger()
	case errors.Is(err, io.EOF): // the client may still read
		c.replies.flush()
		c.replies.waitUntilSent()
	}
	c.stop()
	c.parser.Reset()
	c.replies.close()
	c.releaseInput()
	close(c.done)
}

var errQuit = errors.New("the client quits")

// handleAll handles requests as they arrive, and returns why it ends.
func (c *client) handleAll() error {
	for {
		if err := c.replies.flush(); err != nil {
			return err
		}
		c.replies.release()
		// From here on the client is waited for, not the client's reading.
		c.waiting = time.Now()
		if c.parser.Received() > 0 && c.unfinished.IsZero() {
			c.unfinished = c.waiting
		}
		received, err := c.receive()
		if err != nil {
			return err
		}
		for len(received) > 0 {
			taken, complete, err := c.parser.Feed(received)
			if err != nil {
				return err
			}
			received = received[taken:]
			if !complete {
				break
			}
			c.unfinished = time.Time{}
			c.server.handle(c, c.parser.Args(), c.parser.Refused())
			c.parser.Reset()
			switch {
			case c.quits:
				return errQuit
			case c.ended():
				return errors.Join(errClosing, c.replies.err)
			}
		}
	}
}

// receive waits for bytes. Those of a long argument go where the parser wants
// them, and are not returned.
func (c *client) receive() ([]byte, error) {
	direct, err := c.parser.Direct()
	if err != nil {
		return nil, err
	}
	for {
		deadline, idle := c.deadline()
		c.connection.SetReadDeadline(deadline)
		into := direct
		if into == nil {
			into = c.input
		}
		n, err := c.connection.Read(into)
		late := n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case late && idle:
			c.releaseInput()
			continue
		case late && c.unfinished.IsZero() && c.replies.pending():
			c.waiting = time.Now() // it is busy reading
			continue
		case n == 0 && err != nil:
			return nil, err
		}
		if direct != nil {
			c.parser.Arrived(n)
			return nil, nil
		}
		if n == ownInputBytes && len(c.input) == ownInputBytes {
			c.enlargeInput(n)
		}
		return c.input[:n], nil
	}
}

// deadline returns until when bytes must arrive, zero for no bound, and whether
// the client may then go on without a block for its input.
func (c *client) deadline() (at time.Time, idle bool) {
	if !c.unfinished.IsZero() {
		allowed := c.server.slowTimeout() + time.Duration(c.parser.Received()/slowRate)*time.Second
		return c.unfinished.Add(allowed), false
	}
	if timeout := c.server.timeout; timeout > 0 {
		at = c.waiting.Add(timeout)
	}
	if len(c.input) != ownInputBytes {
		if soon := time.Now().Add(inputIdle); at.IsZero() || soon.Before(at) {
			return soon, true
		}
	}
	return at, false
}

// enlargeInput gets a block for input, if there is one, and keeps its first n
// bytes.
func (c *client) enlargeInput(n int) {
	if block := c.memory.try(inputBytes); block != nil {
		copy(block, c.input[:n])
		c.input = block
	}
}

func (c *client) releaseInput() {
	if len(c.input) != ownInputBytes {
		c.memory.Free(c.input)
		c.input = c.ownInput[:]
	}
}

// linger sends what is to be sent and waits for the client to close, so that it
// can read the last reply.
func (c *client) linger() {
	half, ok := c.connection.(interface{ CloseWrite() error })
	if c.replies.flush() != nil || c.replies.waitUntilSent() != nil || !ok || half.CloseWrite() != nil {
		return
	}
	c.connection.SetReadDeadline(time.Now().Add(lingerTime))
	for {
		if _, err := c.connection.Read(c.input); err != nil {
			return
		}
	}
}

// The replies. Errors need no look: after the first one nothing is written, and
// handleAll ends.

// hasSpace makes space for a reply of n bytes, at most resp.MaxErrorBytes.
func (c *client) hasSpace(n int) bool { return c.replies.space(n) == nil }

func (c *client) writeInt(n int64) {
	if c.hasSpace(resp.MaxHeaderBytes) {
		c.replies.block = resp.AppendInt(c.replies.block, n)
	}
}

func (c *client) writeBool(b bool) {
	if b {
		c.writeInt(1)
	} else {
		c.writeInt(0)
	}
}

// writeArray writes the start of an array; the caller writes its items.
func (c *client) writeArray(items int) {
	if c.hasSpace(resp.MaxHeaderBytes) {
		c.replies.block = resp.AppendArray(c.replies.block, items)
	}
}

func (c *client) writeNull() {
	if c.hasSpace(resp.MaxHeaderBytes) {
		c.replies.block = resp.AppendNull(c.replies.block)
	}
}

// writeString writes a line such as OK.
func (c *client) writeString(text string) {
	if c.hasSpace(resp.LineBytes(len(text))) {
		c.replies.block = resp.AppendString(c.replies.block, text)
	}
}

func (c *client) writeError(text string) {
	if c.hasSpace(resp.LineBytes(len(text))) {
		c.replies.block = resp.AppendError(c.replies.block, text)
	}
}

// writeBulk writes a string of any length, or the error that there is no room.
func (c *client) writeBulk(text []byte) {
	if c.makeSpaceFor(len(text)) {
		c.replies.block = resp.AppendBulk(c.replies.block, text)
	}
}

func (c *client) writeText(text string) {
	if c.makeSpaceFor(len(text)) {
		c.replies.block = resp.AppendBulk(c.replies.block, text)
	}
}

// makeSpaceFor makes space for a reply with a string of n bytes, or else replies
// with an error.
func (c *client) makeSpaceFor(n int) bool {
	err := c.replies.space(resp.BulkBytes(n))
	if errors.Is(err, resp.ErrNoRoom) {
		c.writeError(errOutOfMemory)
	}
	return err == nil
}

// writeValue writes the value of key, or null. A shard's lock is held while the
// value is copied, so the space is made before; the value may be longer then, and
// it takes another try.
func (c *client) writeValue(key []byte) {
	for {
		taken, length := false, 0
		found := c.server.table.TryGet(key, func(value []byte) bool {
			length = len(value)
			taken = resp.BulkBytes(length) <= cap(c.replies.block)-len(c.replies.block)
			if taken {
				c.replies.block = resp.AppendBulk(c.replies.block, value)
			}
			return taken
		})
		switch {
		case !found:
			c.writeNull()
			return
		case taken, !c.makeSpaceFor(length):
			return
		}
	}
}
