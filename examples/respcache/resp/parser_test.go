package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
	"github.com/vcpualloc/vcpualloc/examples/respcache/resp/resptest"
)

// memory is Go memory that notices what a Parser does wrong: freed blocks are
// overwritten, and each block is freed once.
type memory struct {
	t        testing.TB
	refuseAt int // blocks of so many bytes are refused, 0 = none
	blocks   map[*byte]int
	held     int
	most     int // held
}

func (m *memory) Resize(block []byte, used, n int) ([]byte, error) {
	if m.refuseAt > 0 && n >= m.refuseAt {
		return nil, fmt.Errorf("%d bytes: %w", n, resp.ErrNoRoom)
	}
	fresh := bytes.Repeat([]byte{0xee}, n)
	copy(fresh, block[:used])
	if block != nil {
		m.Free(block)
	}
	m.blocks[&fresh[0]] = n
	m.held += n
	m.most = max(m.most, m.held)
	return fresh, nil
}

func (m *memory) Free(block []byte) {
	size, ok := m.blocks[&block[0]]
	if !ok || size != len(block) {
		m.t.Fatalf("a block of %d bytes is freed; %d bytes were allocated there", len(block), size)
	}
	delete(m.blocks, &block[0])
	m.held -= size
	for i := range block {
		block[i] = 0xdd
	}
}

// parse feeds stream in pieces whose lengths cuts tell, again and again, and
// checks what the Parser holds. A refused request is nil.
func parse(t testing.TB, stream, cuts []byte, limits resp.Limits, m *memory) (requests [][][]byte, incomplete bool, err error) {
	var p resp.Parser
	p.Init(limits, m)
	defer func() {
		p.Reset()
		if m.held != 0 {
			t.Fatalf("%d bytes are held after Reset", m.held)
		}
	}()
	cut := 0
	for len(stream) > 0 {
		size := len(stream)
		if len(cuts) > 0 && cut < maxCuts {
			size = min(size, 1+int(cuts[cut%len(cuts)]))
			cut++
		}
		direct, err := p.Direct()
		if err != nil {
			return requests, false, err
		}
		if direct != nil {
			n := copy(direct, stream[:size])
			p.Arrived(n)
			stream = stream[n:]
			continue
		}
		piece := bytes.Clone(stream[:size])
		stream = stream[size:]
		for len(piece) > 0 {
			taken, complete, err := p.Feed(piece)
			if err != nil {
				return requests, false, err
			}
			// The parser must not refer to what it was fed.
			for i := range piece[:taken] {
				piece[i] = 0xcc
			}
			piece = piece[taken:]
			if !complete {
				if len(piece) > 0 {
					t.Fatalf("%d bytes are left after an incomplete request", len(piece))
				}
				// What has arrived, half as much again, ends of arguments of one
				// byte or none, and the first blocks.
				if most := p.Received()*3 + 40<<10; int64(m.held) > most {
					t.Fatalf("%d bytes are held for %d that have arrived", m.held, p.Received())
				}
				break
			}
			args := p.Args()
			request := make([][]byte, args.Len())
			for i := range request {
				request[i] = bytes.Clone(args.At(i))
			}
			if refused := p.Refused(); refused != nil {
				if !errors.Is(refused, resp.ErrNoRoom) || len(request) > 0 || m.held > 0 {
					t.Fatalf("refused with %v, %d arguments, %d bytes", refused, len(request), m.held)
				}
				request = nil
			}
			requests = append(requests, request)
			p.Reset()
		}
	}
	return requests, p.Received() > 0, nil
}

// seeds are streams that once were trouble, or are at an edge. A byte 1 stands
// for longBytes bytes.
var seeds = []string{
	"*1\r\n$4\r\nPING\r\n",
	"*1\r\n$9223372036854775807\r\n",
	"*99999999999",
	"*99999999999\r\n",
	"*-10\r\nPING\r\n", "*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n",
	"*-9223372036854775808\r\n", "*-9223372036854775809\r\n",
	"*9223372036854775807\r\n$", "*01\r\n", "*+1\r\n", "*1 \r\n", "*\r\n", "*1\n$4\nPING\n", "*1\r$", "**1\r\n",
	"*0000000000000000000000001\r\n", "*1234567890123456789012",
	"*1\r\n$-1\r\n", "*1\r\n$0\r\n\r\n", "*1\r\n$4\r\nPINGxx", "*1\r\n$4\r\nPING\rx", "*1\r\n$3\r\nPING\r\n", "*1\r\n:4\r\n",
	"*1\r\n*1\r\n$4\r\nPING\r\n", "*2\r\n$4\r\nECHO\r\n+OK\r\n",
	"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n\x01\x01\x01\x01\x01\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
	"*3\r\n$40000\r\n\x01\x01\r\n$60000\r\n\x01\x01\x01\r\n$0\r\n\r\n", "*1\r\n$100001\r\n", "*65\r\n",
	"*64\r\n" + strings.Repeat("$0\r\n\r\n", 64), "*64\r\n" + strings.Repeat("$0\r\n\r\n", 63) + "x",
	"PING\r\n", "ping\n", "\r\n\n  \r\nPING\n", "SET k \"a b\\x41\\n\\\"\\q\" \r\n", "SET k 'a\\'b\\n'\r\n", "SET k \"a\"b\r\n", "SET k \"a\r\n",
	"a\"b c\" d\r\n", "\"\" ''\n", "'\\", "\"\\x4", "\"\\x4g\\\n", "\x00 \x00\n", "GET \x01\x01\x01\n", "\x01\x01\x01\x01", "*1\r\n$40000\r\n\x01",
	strings.Repeat("x ", 64) + "\n", strings.Repeat("x ", 65) + "\n",
}

const longBytes = 20_000

var longRun = bytes.Repeat([]byte("x"), longBytes)

func expand(stream []byte) []byte { return bytes.ReplaceAll(stream, []byte{1}, longRun) }

// One run is to be short.
const (
	maxFuzzBytes = 200 << 10
	maxCuts      = 5000 // the rest is one piece
)

// FuzzParser compares the Parser, fed in pieces, with the reference, which sees
// all at once.
func FuzzParser(f *testing.F) {
	for _, stream := range seeds {
		f.Add([]byte(stream), []byte{}, 0)
		f.Add([]byte(stream), []byte{0}, 0)
		f.Add([]byte(stream), []byte{6, 0, 200, 3}, 2000)
	}
	limits := resp.Limits{BulkBytes: 100_000, Elements: 64}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, refuseAt int) {
		if stream = expand(stream); len(stream) > maxFuzzBytes {
			return
		}
		m := &memory{t: t, refuseAt: max(0, refuseAt), blocks: map[*byte]int{}}
		got, incomplete, err := parse(t, stream, cuts, limits, m)
		want, end := resptest.Requests(stream, limits)
		refused := slices.ContainsFunc(got, func(request [][]byte) bool { return request == nil })
		if refused && end == resptest.Invalid {
			return // unbalanced quotes in a line that is passed over are no error
		}
		var protocolError resp.ProtocolError
		if (err != nil) != (end == resptest.Invalid) || (err != nil && !errors.As(err, &protocolError)) {
			t.Fatalf("got error %v; the reference ends with %d", err, end)
		}
		if err == nil && incomplete != (end == resptest.Incomplete) {
			t.Fatalf("got incomplete = %t; the reference ends with %d", incomplete, end)
		}
		if len(got) != len(want) {
			t.Fatalf("got %d requests, want %d: %.200q", len(got), len(want), want)
		}
		for i := range got {
			if got[i] == nil && m.refuseAt > 0 {
				continue
			}
			if len(got[i]) != len(want[i]) {
				t.Fatalf("request %d has %d arguments, want %d", i, len(got[i]), len(want[i]))
			}
			for j := range got[i] {
				if !bytes.Equal(got[i][j], want[i][j]) {
					t.Fatalf("request %d, argument %d: got %.100q, want %.100q", i, j, got[i][j], want[i][j])
				}
			}
		}
	})
}

func TestProtocolErrorsNameTheFault(t *testing.T) {
	for stream, want := range map[string]string{
		"*1\r\n$9223372036854775807\r\n":    "invalid bulk length",
		"*1\r\n$536870913\r\n":              "invalid bulk length",
		"*1\r\n$-1\r\n":                     "invalid bulk length",
		"*1\r\n$\r\n":                       "invalid bulk length",
		"*99999999999\r\n":                  "invalid multibulk length",
		"*1048577\r\n":                      "invalid multibulk length",
		"*1x\r\n":                           "invalid multibulk length",
		"*1\n":                              "invalid multibulk length",
		"*" + strings.Repeat("1", 23):       "too big mbulk count string",
		"*1\r\n$" + strings.Repeat("1", 23): "too big bulk count string",
		"*1\r\nPING\r\n":                    "expected '$', got 'P'",
		"*1\r\n$4\r\nPINGPONG":              "expected CRLF after a bulk string",
		"*1\r\n$4\r\nPING\rx":               "expected CRLF after a bulk string",
		strings.Repeat("x", 64<<10+1):       "too big inline request",
		"SET k \"v\r\n":                     "unbalanced quotes in request",
	} {
		m := &memory{t: t, blocks: map[*byte]int{}}
		if _, _, err := parse(t, []byte(stream), nil, resp.Limits{}, m); err == nil || err.Error() != "Protocol error: "+want {
			t.Errorf("%.40q: got %v, want %q", stream, err, want)
		}
	}
}

// TestAnnouncedBytesTakeNoMemory checks that memory follows what arrives.
func TestAnnouncedBytesTakeNoMemory(t *testing.T) {
	for _, stream := range []string{"*1048576\r\n", "*1\r\n$536870912\r\n", "*1048576\r\n$3\r\nGET\r\n$536870912\r\n"} {
		m := &memory{t: t, blocks: map[*byte]int{}}
		_, incomplete, err := parse(t, []byte(stream), nil, resp.Limits{}, m)
		if err != nil || !incomplete || m.most > 0 {
			t.Errorf("%q: %v, incomplete = %t, %d bytes; want an incomplete request without a block", stream, err, incomplete, m.most)
		}
	}
	m := &memory{t: t, blocks: map[*byte]int{}}
	const arrived = 3 << 20
	stream := append([]byte("*1\r\n$536870912\r\n"), make([]byte, arrived)...)
	if _, _, err := parse(t, stream, []byte{255}, resp.Limits{}, m); err != nil {
		t.Fatal(err)
	}
	if m.most > 3*arrived { // the old block and the new one
		t.Errorf("%d bytes were held for %d that arrived", m.most, arrived)
	}
}

// TestLargestRequest checks that a request of as many elements as there may be
// is taken, and that its arguments take little more than themselves.
func TestLargestRequest(t *testing.T) {
	var stream bytes.Buffer
	fmt.Fprintf(&stream, "*%d\r\n", resp.MaxElements)
	for range resp.MaxElements {
		stream.WriteString("$1\r\nk\r\n")
	}
	m := &memory{t: t, blocks: map[*byte]int{}}
	var p resp.Parser
	p.Init(resp.Limits{}, m)
	taken, complete, err := p.Feed(stream.Bytes())
	if taken != stream.Len() || !complete || err != nil || p.Args().Len() != resp.MaxElements {
		t.Fatalf("took %d of %d bytes, complete = %t, %v, %d arguments", taken, stream.Len(), complete, err, p.Args().Len())
	}
	if first, last := p.Args().At(0), p.Args().At(resp.MaxElements-1); string(first) != "k" || string(last) != "k" {
		t.Errorf("the arguments are %q to %q, want k", first, last)
	}
	if m.most > 20*resp.MaxElements {
		t.Errorf("%d bytes were held for %d arguments of one byte", m.most, resp.MaxElements)
	}
	p.Reset()
}
