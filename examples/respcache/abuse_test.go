package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// The tests here are clients that mean ill, or are broken: each has its bound on
// memory, and a client that behaves is served meanwhile.

const (
	abuseLimit     = 64 << 20
	abuseLimitText = "64mb"
	// goMemory is what the process may have besides -maxmemory: the program, its
	// stacks, and the garbage between two collections.
	goMemory = 48 << 20
)

// stream sends all that write writes, from a goroutine of its own, until the
// server does not take more and the test ends.
func stream(t *testing.T, address string, write func(w *bufio.Writer)) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w := bufio.NewWriterSize(connection, 64<<10)
		write(w)
		w.Flush()
	}()
	t.Cleanup(func() {
		connection.Close()
		<-ended
	})
	return connection
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	stress.Until(t, func() error {
		if !condition() {
			return errors.New("never: " + what)
		}
		return nil
	})
}

// waitForEnd reads until the server closes the connection.
func waitForEnd(t *testing.T, connection net.Conn) {
	t.Helper()
	connection.SetReadDeadline(time.Now().Add(clientTimeout))
	if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the server has not closed the connection in %v", clientTimeout)
	}
}

// peakMemory samples the process while it is abused, for as long as its figures
// of clients' memory change, and returns its most resident bytes.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	c := dial(t, p.address)
	most, last, same := int64(0), "", 0
	for deadline := time.Now().Add(10 * time.Second); same < 20 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		most = max(most, p.residentBytes(t))
		info := c.info(t, "memory")
		now := info["mem_clients_normal"]
		if same++; now != last {
			last, same = now, 0
		}
		if held, limit := infoNumber(t, info, "mem_clients_normal"), int64(abuseLimit/2); held > limit {
			t.Errorf("the buffers of clients are %d bytes, above %d", held, limit)
		}
		if used := infoNumber(t, info, "used_memory"); used > abuseLimit {
			t.Errorf("%d bytes are used, above %d", used, int64(abuseLimit))
		}
	}
	t.Logf("at most %d MiB resident; evicted clients: %s", most>>20, c.info(t, "stats")["evicted_clients"])
	if c.do(t, "SET", "still", "served").String() != "+OK" || c.do(t, "GET", "still").String() != `"served"` {
		t.Error("another client is not served")
	}
	return most
}

// zeros writes n bytes.
func zeros(w *bufio.Writer, n int) {
	var chunk [16 << 10]byte
	for n > 0 {
		size, err := w.Write(chunk[:min(n, len(chunk))])
		if err != nil {
			return
		}
		n -= size
	}
}

// TestAbuseIsBounded has clients take what memory they can.
func TestAbuseIsBounded(t *testing.T) {
	store := func(t *testing.T, p *process) {
		c := dial(t, p.address)
		if got := c.do(t, "SET", "large", strings.Repeat("x", 1<<20)).String(); got != "+OK" {
			t.Fatalf("SET: %s", got)
		}
	}
	for _, test := range []struct {
		name    string
		clients int
		write   func(w *bufio.Writer, i int)
	}{
		{"bulk of 4 GiB", 1, func(w *bufio.Writer, _ int) {
			w.WriteString("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4294967296\r\n")
			zeros(w, 1<<30)
		}},
		{"unfinished bulks of 512 MB", 4, func(w *bufio.Writer, _ int) {
			w.WriteString("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n")
			zeros(w, 300<<20)
		}},
		{"unfinished bulks of 1 MB", 200, func(w *bufio.Writer, _ int) {
			w.WriteString("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
			zeros(w, 999_999)
		}},
		{"announced bulks", 500, func(w *bufio.Writer, _ int) { w.WriteString("*1048576\r\n$536870912\r\n") }},
		{"many elements", 8, func(w *bufio.Writer, _ int) {
			w.WriteString("*1048576\r\n$4\r\nMGET\r\n")
			for range 1<<20 - 2 {
				w.WriteString("$1\r\nk\r\n")
			}
		}},
		{"unread pipeline of MGETs", 4, func(w *bufio.Writer, _ int) {
			for range 20_000 {
				w.WriteString("MGET" + strings.Repeat(" large", 20) + "\r\n")
			}
		}},
		{"unread MGET of many keys", 4, func(w *bufio.Writer, _ int) {
			w.WriteString("*1048576\r\n$4\r\nMGET\r\n")
			for range 1<<20 - 1 {
				w.WriteString("$5\r\nlarge\r\n")
			}
		}},
		{"unread pings", 4, func(w *bufio.Writer, _ int) {
			for range 1_000_000 {
				w.WriteString("*1\r\n$4\r\nPING\r\n")
			}
		}},
		{"unread echoes", 8, func(w *bufio.Writer, _ int) {
			for range 100 {
				w.WriteString("*2\r\n$4\r\nECHO\r\n$1000000\r\n")
				zeros(w, 1_000_000)
				w.WriteString("\r\n")
			}
		}},
		{"unread documentation", 2, func(w *bufio.Writer, _ int) {
			w.WriteString("*500002\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n")
			for range 500_000 {
				w.WriteString("$3\r\nget\r\n")
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startProcess(t, "-maxmemory", abuseLimitText)
			store(t, p)
			for i := range test.clients {
				stream(t, p.address, func(w *bufio.Writer) { test.write(w, i) })
			}
			if most := peakMemory(t, p); most > abuseLimit+goMemory {
				t.Errorf("%d bytes were resident, above %d and %d of Go", most, int64(abuseLimit), int64(goMemory))
			}
		})
	}
}

// TestGrowthIsBounded stores what a client may, which is less than what it asks.
func TestGrowthIsBounded(t *testing.T) {
	p := startProcess(t, "-maxmemory", abuseLimitText, "-proto-max-bulk-len", "1mb")
	c := dial(t, p.address)
	part := strings.Repeat("x", 300<<10)
	for i := range 3 {
		if got, want := c.do(t, "APPEND", "k", part).String(), fmt.Sprintf(":%d", (i+1)*len(part)); got != want {
			t.Fatalf("APPEND: got %s, want %s", got, want)
		}
	}
	const tooLong = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"
	if got := c.do(t, "APPEND", "k", part).String(); got != tooLong {
		t.Errorf("APPEND beyond the limit: got %.80s", got)
	}
	if got := c.do(t, "STRLEN", "k").String(); got != fmt.Sprintf(":%d", 3*len(part)) {
		t.Errorf("STRLEN after that: got %s", got)
	}
	if got := c.do(t, "ECHO", strings.Repeat("x", 1<<20+1)).String(); got != "-ERR Protocol error: invalid bulk length" {
		t.Errorf("an argument beyond the limit: got %.80s", got)
	}
	c = dial(t, startInProcess(t, "-maxmemory", "16mb"))
	for length := 0; ; length += len(part) {
		got := c.do(t, "APPEND", "k", part).String()
		if got == "-"+errOutOfMemory || got == fmt.Sprintf(":%d", len(part)) && length > 0 {
			break // refused, or the key was evicted before
		}
		if got != fmt.Sprintf(":%d", length+len(part)) || length > 16<<20 {
			t.Fatalf("APPEND to a value of %d bytes under 16 MiB: got %s", length, got)
		}
	}
	if got := c.do(t, "PING").String(); got != "+PONG" {
		t.Errorf("PING after that: got %s", got)
	}
}

// TestThirdOfTheLimit stores and reads values of a third of -maxmemory, while the
// cache is full of small ones.
func TestThirdOfTheLimit(t *testing.T) {
	c := dial(t, startInProcess(t, "-maxmemory", "16mb"))
	for i := range 20_000 {
		if got := c.do(t, "SET", "small:"+strconv.Itoa(i), strings.Repeat("x", 1000)).String(); got != "+OK" {
			t.Fatalf("SET of a small value: got %s", got)
		}
	}
	for i := range 5 {
		key, value := "large:"+strconv.Itoa(i), strings.Repeat(strconv.Itoa(i), 16<<20/3)
		if got := c.do(t, "SET", key, value).String(); got != "+OK" {
			t.Fatalf("SET of a third of the limit: got %s", got)
		}
		if got := c.do(t, "GET", key); got.text != value {
			t.Fatalf("GET of a third of the limit: got %d bytes, %.80s", len(got.text), got.text)
		}
	}
}

// TestHangUpInTheMiddle sends a part of a request and hangs up: the client is
// gone, and SIGTERM ends the process, as startProcess checks.
func TestHangUpInTheMiddle(t *testing.T) {
	p := startProcess(t)
	c := dial(t, p.address)
	for _, part := range []string{
		"*99999999999", "*99999999999\r\n", "*1000000\r\n", "*1000000\r\n$1\r\n", "*1\r\n$500000000\r\nabc", "*2\r\n$4\r\nECHO\r\n$3\r\nabc\r", "PING", "\"",
	} {
		connection, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(connection, part)
		connection.Close()
		eventually(t, fmt.Sprintf("the client that sent %q is gone", part), func() bool {
			return infoNumber(t, c.info(t, "clients"), "connected_clients") == 1
		})
	}
	if held := infoNumber(t, c.info(t, "memory"), "mem_clients_normal"); held > 64<<10 {
		t.Errorf("%d bytes of buffers are held for one client", held)
	}
}

// TestPipelineBeforeReading sends a long pipeline before it reads a reply.
func TestPipelineBeforeReading(t *testing.T) {
	const requests = 300_000
	c := dial(t, startInProcess(t))
	c.connection.SetDeadline(time.Now().Add(clientTimeout))
	for range requests {
		c.writer.WriteString("*1\r\n$4\r\nPING\r\n")
	}
	if err := c.writer.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range requests {
		if r, err := c.read(); err != nil || r.String() != "+PONG" {
			t.Fatalf("reply %d: got %s, %v", i, r, err)
		}
	}
}

// TestHalfClosedClientGetsItsReplies ends its side after large requests.
func TestHalfClosedClientGetsItsReplies(t *testing.T) {
	address := startInProcess(t)
	const size, requests = 1 << 20, 20
	dial(t, address).do(t, "SET", "k", strings.Repeat("x", size))
	replies := exchange(t, address, strings.Repeat("GET k\r\n", requests))
	if len(replies) != requests {
		t.Fatalf("got %d replies, want %d", len(replies), requests)
	}
	for i, r := range replies {
		if len(r.text) != size {
			t.Errorf("reply %d has %d bytes, want %d", i, len(r.text), size)
		}
	}
}

// TestClientLimit checks that a client is closed whose request, or whose reply,
// is above -client-limit, and that it is told of a request.
func TestClientLimit(t *testing.T) {
	address := startInProcess(t, "-client-limit", "1mb")
	c := dial(t, address)
	value := strings.Repeat("x", 900_000)
	if got := c.do(t, "SET", "k", value).String(); got != "+OK" {
		t.Fatalf("SET below the limit: got %s", got)
	}
	if got := c.do(t, "GET", "k"); got.text != value {
		t.Fatalf("GET below the limit: got %d bytes", len(got.text))
	}
	replies := exchange(t, address, "*2\r\n$4\r\nECHO\r\n$2000000\r\n"+strings.Repeat("x", 2_000_000)+"\r\n")
	if len(replies) != 1 || !strings.Contains(replies[0].text, "-client-limit") {
		t.Errorf("a request above the limit: got %.100s", replies)
	}
	if got := c.do(t, "APPEND", "k", value).String(); got != ":1800000" {
		t.Fatalf("APPEND: got %s", got)
	}
	c.send("GET", "k")
	if r, err := c.read(); err == nil {
		t.Errorf("GET of a value above the limit: got a reply of %d bytes, want the end", len(r.text))
	}
	if got := dial(t, address).do(t, "STRLEN", "k").String(); got != ":1800000" {
		t.Errorf("STRLEN: got %s", got)
	}
}

// TestLargestClientIsClosed checks who is closed when all clients hold too much.
func TestLargestClientIsClosed(t *testing.T) {
	address := startInProcess(t, "-maxmemory", "16mb", "-maxmemory-clients", "2mb")
	watch := dial(t, address)
	unfinished := func(size int) *peer {
		c := dial(t, address)
		fmt.Fprintf(c.writer, "*2\r\n$4\r\nECHO\r\n$%d\r\n%s", size+2, strings.Repeat("x", size))
		c.writer.Flush()
		return c
	}
	held := func() int64 { return infoNumber(t, watch.info(t, "memory"), "mem_clients_normal") }
	small := unfinished(100_000)
	large := unfinished(1_200_000)
	eventually(t, "the large request arrives", func() bool { return held() >= 1_300_000 })
	unfinished(900_000)
	waitForEnd(t, large.connection)
	eventually(t, "one client, and no other, was closed for its memory", func() bool {
		return held() < 1_200_000 && infoNumber(t, watch.info(t, "stats"), "evicted_clients") == 1
	})
	eventually(t, "the next one has the memory", func() bool { return held() >= 1_000_000 })
	small.writer.WriteString("xx\r\n")
	if r, err := small.read(); err != nil || len(r.text) != 100_002 {
		t.Errorf("the small client's request: got %d bytes, %v", len(r.text), err)
	}
	// One that is the largest itself loses its request, and goes on.
	large = dial(t, address)
	if got := large.do(t, "SET", "k", strings.Repeat("x", 3<<20)).String(); got != "-"+errOutOfMemory {
		t.Errorf("a request above the limit of all: got %.80s", got)
	}
	if got := large.do(t, "PING").String(); got != "+PONG" {
		t.Errorf("PING after that: got %s", got)
	}
}

func TestMaxClients(t *testing.T) {
	address := startInProcess(t, "-maxclients", "3")
	var clients []*peer
	for range 3 {
		c := dial(t, address)
		c.do(t, "PING")
		clients = append(clients, c)
	}
	c := dial(t, address)
	if r, err := c.read(); err != nil || r.String() != "-ERR max number of clients reached" {
		t.Errorf("client 4 of 3: got %s, %v", r, err)
	}
	waitForEnd(t, c.connection)
	stats := clients[0].info(t, "clients", "stats")
	if stats["connected_clients"] != "3" || stats["rejected_connections"] != "1" || stats["maxclients"] != "3" {
		t.Errorf("INFO: %v", stats)
	}
	clients[2].connection.Close()
	eventually(t, "another client is accepted", func() bool {
		c := dial(t, address)
		c.send("PING")
		r, err := c.read()
		return err == nil && r.String() == "+PONG"
	})
}

// TestIdleAndSlowClientsAreClosed has clients that send nothing, that send a
// request byte by byte, and that read nothing.
func TestIdleAndSlowClientsAreClosed(t *testing.T) {
	address := startInProcess(t, "-timeout", "4")
	idle, sized, trickle, deaf := dial(t, address), dial(t, address), dial(t, address), dial(t, address)
	idle.do(t, "PING")
	sized.do(t, "ECHO", strings.Repeat("x", 10_000)) // has a block for its input
	deaf.do(t, "SET", "k", strings.Repeat("x", 100_000))
	for range 1000 {
		deaf.send("GET", "k")
	}
	deaf.writer.Flush()
	go func() {
		_, err := io.WriteString(trickle.connection, "*1000\r\n$100000\r\n")
		for ; err == nil; time.Sleep(50 * time.Millisecond) {
			_, err = io.WriteString(trickle.connection, "x")
		}
	}()
	eventually(t, "all four clients are closed", func() bool {
		c := dial(t, address)
		defer c.connection.Close()
		c.send("INFO", "clients")
		r, err := c.read()
		return err == nil && strings.Contains(r.text, "connected_clients:1\r\n")
	})
	for _, c := range []*peer{idle, sized, trickle, deaf} {
		waitForEnd(t, c.connection)
	}
}

// TestStopsWhateverClientsDo sends SIGTERM to a process whose clients do what
// keeps a server from ending. That it ends in a second is not judged here; how
// long it took is logged.
func TestStopsWhateverClientsDo(t *testing.T) {
	p := startProcess(t, "-maxmemory", "256mb")
	c := dial(t, p.address)
	c.do(t, "SET", "large", strings.Repeat("x", 1<<20))
	for i := range 100_000 {
		c.send("SET", "key:"+strconv.Itoa(i), "value")
		if i%1000 == 999 {
			for range 1000 {
				if _, err := c.read(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	keys := func(w *bufio.Writer, command, key string) {
		fmt.Fprintf(w, "*%d\r\n$%d\r\n%s\r\n", 1<<20, len(command), command)
		for range 1<<20 - 1 {
			fmt.Fprintf(w, "$%d\r\n%s\r\n", len(key), key)
		}
	}
	for _, write := range []func(w *bufio.Writer){
		func(w *bufio.Writer) {},
		func(w *bufio.Writer) { w.WriteString("*99999999999") },
		func(w *bufio.Writer) { w.WriteString("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nabc") },
		func(w *bufio.Writer) {
			w.WriteString("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\n")
			zeros(w, 400<<20)
		},
		func(w *bufio.Writer) { keys(w, "MGET", "large") },
		func(w *bufio.Writer) { keys(w, "DEL", "key:1") },
		func(w *bufio.Writer) {
			for range 100_000 {
				w.WriteString("GET large\r\n")
			}
		},
		func(w *bufio.Writer) {
			for range 1_000_000 {
				w.WriteString("PING\r\n")
			}
		},
		func(w *bufio.Writer) {
			for range 100_000 {
				w.WriteString("FLUSHALL\r\n")
			}
		},
	} {
		stream(t, p.address, write)
	}
	eventually(t, "the clients' requests arrive", func() bool {
		info := c.info(t, "clients", "memory")
		return infoNumber(t, info, "connected_clients") == 10 && infoNumber(t, info, "mem_clients_normal") > 1<<20
	})
	time.Sleep(200 * time.Millisecond) // in the middle of it
	start := time.Now()
	p.command.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, p.output) // ends with the process
		ended <- err
	}()
	select {
	case <-ended:
		t.Logf("the process ended %v after SIGTERM", time.Since(start))
	case <-time.After(clientTimeout):
		t.Errorf("the process has not ended %v after SIGTERM", clientTimeout)
	}
}
