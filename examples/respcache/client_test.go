package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// peer is a plain connection to a server: what it sends and reads is exactly
// what the test says, and it may send many requests before it reads.
type peer struct {
	connection net.Conn
	reader     *bufio.Reader
	writer     *bufio.Writer
}

// clientTimeout ends a test whose server does not answer a pipeline: long enough for
// the busiest machine.
const clientTimeout = 5 * time.Minute

func dial(t *testing.T, address string) *peer {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return &peer{connection, bufio.NewReaderSize(connection, 64<<10), bufio.NewWriterSize(connection, 64<<10)}
}

// send adds a request to the pipeline.
func (c *peer) send(args ...string) {
	fmt.Fprintf(c.writer, "*%d\r\n", len(args))
	for _, argument := range args {
		fmt.Fprintf(c.writer, "$%d\r\n", len(argument))
		c.writer.WriteString(argument)
		c.writer.WriteString("\r\n")
	}
}

// reply is one answer of the server.
type reply struct {
	kind  byte // + - : $ *
	text  string
	null  bool
	items []reply
}

// String writes a reply as the tests' scripts do.
func (r reply) String() string {
	switch {
	case r.null:
		return "nil"
	case r.kind == '$':
		return strconv.Quote(r.text)
	case r.kind == '*':
		items := make([]string, len(r.items))
		for i, item := range r.items {
			items[i] = item.String()
		}
		return "[" + strings.Join(items, " ") + "]"
	}
	return string(r.kind) + r.text
}

// read flushes the pipeline and reads the next reply.
func (c *peer) read() (reply, error) {
	if c.writer.Buffered() > 0 {
		c.connection.SetDeadline(time.Now().Add(clientTimeout))
		if err := c.writer.Flush(); err != nil {
			return reply{}, err
		}
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return reply{}, err
	}
	line, whole := strings.CutSuffix(line, "\r\n")
	if !whole || line == "" {
		return reply{}, fmt.Errorf("a reply starts with the line %q", line)
	}
	r := reply{kind: line[0], text: line[1:]}
	if r.kind != '$' && r.kind != '*' {
		return r, nil
	}
	n, err := strconv.Atoi(r.text)
	if err != nil {
		return reply{}, fmt.Errorf("a reply starts with the line %q: %w", line, err)
	}
	r.text = ""
	if n < 0 {
		r.null = true
		return r, nil
	}
	if r.kind == '$' {
		buffer := make([]byte, n+len("\r\n"))
		_, err = io.ReadFull(c.reader, buffer)
		r.text = string(buffer[:n])
		return r, err
	}
	for range n {
		item, err := c.read()
		if err != nil {
			return reply{}, err
		}
		r.items = append(r.items, item)
	}
	return r, nil
}

// do sends one request and returns its reply.
func (c *peer) do(t *testing.T, args ...string) reply {
	t.Helper()
	c.send(args...)
	r, err := c.read()
	if err != nil {
		t.Fatalf("%.80q: %v", args, err)
	}
	return r
}

// info returns the lines of INFO as a map.
func (c *peer) info(t *testing.T, sections ...string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for line := range strings.SplitSeq(c.do(t, append([]string{"INFO"}, sections...)...).text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines[name] = value
		}
	}
	return lines
}

// infoNumber returns a number of INFO; a missing one fails the test.
func infoNumber(t *testing.T, lines map[string]string, name string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(lines[name], 10, 64)
	if err != nil {
		t.Fatalf("INFO: %s is %q, want a number", name, lines[name])
	}
	return n
}
