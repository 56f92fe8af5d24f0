package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
	"github.com/vcpualloc/vcpualloc/examples/respcache/resp/resptest"
)

// scripted is a connection whose client sends pieces of a stream and reads as it
// likes: every stutter-th time the server will not wait long, it takes a half.
type scripted struct {
	net.Conn // nil: no other method is called
	stream   []byte
	cuts     []byte // lengths of the pieces less one, again and again
	cut      int
	stutter  int

	mu       sync.Mutex
	received bytes.Buffer
	patient  bool
	writes   int
	check    func()
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.stream) == 0 {
		return 0, io.EOF
	}
	n := min(len(b), len(s.stream))
	if len(s.cuts) > 0 && s.cut < maxCuts {
		n = min(n, 1+int(s.cuts[s.cut%len(s.cuts)]))
		s.cut++
	}
	copy(b, s.stream[:n])
	s.stream = s.stream[n:]
	return n, nil
}

func (s *scripted) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	s.writes++
	if s.stutter > 0 && !s.patient && s.writes%s.stutter == 0 {
		n, _ := s.received.Write(b[:len(b)/2])
		return n, os.ErrDeadlineExceeded
	}
	return s.received.Write(b)
}

func (s *scripted) Close() error                    { return nil }
func (s *scripted) SetReadDeadline(time.Time) error { return nil }

func (s *scripted) SetWriteDeadline(at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.patient = time.Until(at) > slowTimeout/2
	return nil
}

// protocolSeeds are pipelines; a byte 1 stands for longRun, in which nothing is
// special.
var protocolSeeds = []string{
	"*1\r\n$4\r\nPING\r\n", "*1\r\n$9223372036854775807\r\n", "*99999999999\r\n", "*99999999999", "*-10\r\nPING\r\n",
	"*1\r\n$4\r\nPINGxx", "PING\r\nQUIT\r\nPING\r\n", "*1\r\n$4\r\nquit\r\n*1\r\n$-4\r\n", "PING a b c\r\n\r\nECHO 'x\n",
	"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\n\x01\x01\r\n" + strings.Repeat("GET k\r\n", 20),
	"SET k v\r\nSET k \x01 GET\r\nAPPEND k \x01\r\nAPPEND k \x01\r\nGETSET k x\r\nMGET k k nosuch k\r\nSTRLEN k\r\n",
	"ECHO \x01\r\nPING \x01\r\n\x01 \x01 \x01\r\nEXPIRE k 1 \x01\r\nCONFIG SET \x01 \x01\r\nCONFIG GET \x01\r\nCONFIG GET *\r\nCONFIG \x01\r\nCOMMAND \x01\r\n",
	"SET n 9223372036854775807\r\nINCR n\r\nINCRBY n -9223372036854775808\r\nDECRBY n -9223372036854775808\r\nINCRBY n 99999999999999999999\r\n",
	"SET k v EX 9223372036854775807\r\nSET k v PXAT -1\r\nEXPIRE k 9223372036854775807\r\nPEXPIREAT k -9223372036854775808\r\nEXPIRE k -9223372036854775\r\nTTL k\r\nPTTL k\r\n",
	"MSET a 1 b\r\nMSET a 1 b 2\r\nDEL a b c\r\nEXISTS a b\r\nPERSIST a\r\nSETEX a 1 b\r\nPSETEX a -1 b\r\nSETNX a b\r\n",
	"COMMAND\r\nCOMMAND DOCS\r\nCOMMAND INFO get nosuch\r\nCOMMAND COUNT\r\nCOMMAND LIST\r\nINFO\r\nINFO memory all\r\nHELLO 2\r\nHELLO 3\r\nHELLO x\r\nSELECT 0\r\n",
	"FLUSHALL\r\nDBSIZE\r\nFLUSHDB ASYNC\r\nSETRANGE k 536870911 x\r\n\"\" x\r\n*1\r\n$0\r\n\r\n*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n",
}

// One run is to be short.
const (
	maxFuzzBytes = 200 << 10
	maxCuts      = 5000 // the rest is one piece
)

var longRun = bytes.Repeat([]byte("x"), 20_000)

// FuzzProtocol serves a stream of arbitrary bytes, in arbitrary pieces, to a
// client that reads at will. Each complete request has one well-formed reply, a
// protocol error has one more, the buffers stay within their limit and are freed.
func FuzzProtocol(f *testing.F) {
	for _, stream := range protocolSeeds {
		f.Add([]byte(stream), []byte{}, uint8(0))
		f.Add([]byte(stream), []byte{0}, uint8(1))
		f.Add([]byte(stream), []byte{40, 0, 255}, uint8(3))
	}
	o, err := parseOptions([]string{"-maxmemory", "16mb", "-maxmemory-clients", "256kb",
		"-proto-max-bulk-len", "100000b", "-proto-max-multibulk-len", "64"}, io.Discard)
	if err != nil {
		f.Fatal(err)
	}
	s, err := newServer(o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, stream, cuts []byte, stutter uint8) {
		if stream = bytes.ReplaceAll(stream, []byte{1}, longRun); len(stream) > maxFuzzBytes {
			return
		}
		s.table.Flush()
		peer := &scripted{stream: stream, cuts: cuts, stutter: int(stutter), check: func() {
			if held := s.buffers.held.Load(); held > o.clientsLimit {
				t.Errorf("%d bytes of buffers are held, above %d", held, o.clientsLimit)
			}
		}}
		newClient(s, peer).serve()
		if held := s.buffers.held.Load(); held != 0 {
			t.Errorf("%d bytes of buffers are held after the client was closed", held)
		}

		requests, end := resptest.Requests(stream, o.limits)
		want, quits := 0, false
		for _, request := range requests {
			if quits = isHTTP(request[0]); quits {
				break
			}
			want++
			if quits = strings.EqualFold(string(request[0]), "quit"); quits {
				break
			}
		}
		if end == resptest.Invalid && !quits {
			want++
		}
		replies := readReplies(t, peer.received.Bytes())
		refused := slices.ContainsFunc(replies, func(r reply) bool { return r.text == errOutOfMemory })
		if refused && end == resptest.Invalid {
			return // unbalanced quotes in a line that is passed over are no error
		}
		if len(replies) != want {
			t.Fatalf("got %d replies, want %d", len(replies), want)
		}
		if end == resptest.Invalid && !quits && !strings.HasPrefix(replies[want-1].text, "ERR Protocol error: ") {
			t.Errorf("the last reply is %s, want a protocol error", replies[want-1])
		}
	})
}

// readReplies cuts what a server sent into replies; any byte more or less fails
// the test.
func readReplies(t *testing.T, sent []byte) (replies []reply) {
	t.Helper()
	stream := &peer{reader: bufio.NewReader(bytes.NewReader(sent)), writer: bufio.NewWriter(io.Discard)}
	for {
		r, err := stream.read()
		if err == io.EOF {
			return replies
		}
		if err != nil {
			t.Fatalf("reply %d: %v", len(replies), err)
		}
		if !strings.ContainsRune("+-:$*", rune(r.kind)) {
			t.Fatalf("reply %d is of the kind %q", len(replies), r.kind)
		}
		replies = append(replies, r)
	}
}

// exchange sends a stream, ends it, and returns the replies up to the end.
func exchange(t *testing.T, address, stream string) []reply {
	t.Helper()
	c := dial(t, address)
	c.connection.SetDeadline(time.Now().Add(clientTimeout))
	go func() { // the server may close before it has read all
		io.WriteString(c.connection, stream)
		c.connection.(*net.TCPConn).CloseWrite()
	}()
	sent, err := io.ReadAll(c.reader)
	if err != nil {
		t.Fatalf("%.60q: %v", stream, err)
	}
	return readReplies(t, sent)
}

// TestProtocol sends streams that are no requests, or odd ones: the server
// replies, goes on with what follows or closes the connection, and serves others.
func TestProtocol(t *testing.T) {
	p := startProcess(t)
	for _, test := range []struct{ stream, want string }{
		{"*1\r\n$9223372036854775807\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1\r\n$4294967296\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1\r\n$-1\r\nPING\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1\r\n$536870912\r\n", ""},
		{"*99999999999", ""},
		{"*99999999999\r\n", "-ERR Protocol error: invalid multibulk length"},
		{"*1048577\r\n", "-ERR Protocol error: invalid multibulk length"},
		{"*1048576\r\n$1\r\nx\r\n", ""},
		{"PING\r\n*2147483647\r\n", "+PONG -ERR Protocol error: invalid multibulk length"},
		{"*-10\r\nPING\r\n", "+PONG"},
		{"*0\r\n*-1\r\n\r\n  \r\nPING\r\n", "+PONG"},
		{"*1\r\n$4\r\nPINGxxPING\r\n", "-ERR Protocol error: expected CRLF after a bulk string"},
		{"*1\r\n*1\r\n$4\r\nPING\r\n", "-ERR Protocol error: expected '$', got '*'"},
		{"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'"},
		{"*1\r\n$0\r\n\r\n", "-ERR unknown command '', with args beginning with: "},
		{"PING \"a\\x41\\n\" \r\nSET k 'it\\'s'\nGET k\n", `"aA\n" +OK "it's"`},
		{"PING \v\fa\vb\fc\r\nPING\n", `"a\vb\fc" +PONG`},
		{"PING \"a\r\nPING\r\n", "-ERR Protocol error: unbalanced quotes in request"},
		{strings.Repeat("x", 64<<10+1), "-ERR Protocol error: too big inline request"},
		{"PING " + strings.Repeat(" ", 64<<10) + "\r\n", "-ERR Protocol error: too big inline request"},
		{"QUIT\r\nPING\r\n", "+OK"},
		{"POST / HTTP/1.1\r\nPING\r\n", ""},
		{"PING\r\nhost: localhost\r\n\r\nSET http 1\r\n", "+PONG"},
		{"*2\r\n$4\r\npost\r\n$1\r\nx\r\nPING\r\n", ""},
		{"EXISTS http\r\nHost x\r\n", ":0 -ERR unknown command 'Host', with args beginning with: 'x' "},
	} {
		var got []string
		for _, r := range exchange(t, p.address, test.stream) {
			got = append(got, r.String())
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%.60q\ngot  %s\nwant %s", test.stream, got, test.want)
		}
	}
	if r := dial(t, p.address).do(t, "PING").String(); r != "+PONG" {
		t.Errorf("PING after all that: got %s", r)
	}
}

// TestHTTPIsLoggedOnce sends HTTP requests: a line in the log tells of the first, and
// others of the same minute add none.
func TestHTTPIsLoggedOnce(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log.SetOutput(write)
	address := startInProcess(t)
	for _, stream := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n", "POST\r\n",
	} {
		exchange(t, address, stream)
	}
	log.SetOutput(os.Stderr)
	write.Close()
	text, err := io.ReadAll(read)
	if n := strings.Count(string(text), "Possible SECURITY ATTACK detected."); err != nil || n != 1 || !strings.Contains(string(text), "Connection from 127.0.0.1:") {
		t.Errorf("the log is %q (%v), want one line that tells of the attack and of the client", text, err)
	}
	if got := dial(t, address).do(t, "EXISTS", "k").String(); got != ":0" {
		t.Errorf("EXISTS of what the HTTP requests set: got %s", got)
	}
}

// TestErrorsEchoLittle checks that an error does not repeat a long argument.
func TestErrorsEchoLittle(t *testing.T) {
	c := dial(t, startInProcess(t))
	long := strings.Repeat("x", 1<<20)
	for _, request := range [][]string{
		{long, long}, {"EXPIRE", "k", "1", long}, {"CONFIG", "SET", long, "1"}, {"CONFIG", long}, {"COMMAND", long}, {"CONFIG", "GET", long},
	} {
		if got := c.do(t, request...); len(got.text) > resp.MaxErrorBytes {
			t.Errorf("%.20q: the reply has %d bytes", request, len(got.text))
		}
	}
}
