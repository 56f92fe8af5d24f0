package resp

import (
	"encoding/binary"
	"errors"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

// ErrNoRoom is what a Memory's error wraps if the request is to be passed over.
var ErrNoRoom = errors.New("resp: no room for the request")

// ProtocolError says what is wrong with the bytes received. Its text is that of
// Redis, where Redis has one.
type ProtocolError string

func (e ProtocolError) Error() string { return "Protocol error: " + string(e) }

const (
	errCountTooLong     = ProtocolError("too big mbulk count string")
	errCount            = ProtocolError("invalid multibulk length")
	errLengthTooLong    = ProtocolError("too big bulk count string")
	errLength           = ProtocolError("invalid bulk length")
	errBulkEnd          = ProtocolError("expected CRLF after a bulk string")
	errInlineTooLong    = ProtocolError("too big inline request")
	errUnbalancedQuotes = ProtocolError("unbalanced quotes in request")
	errRequestTooLong   = ProtocolError("too big request")
)

// Memory gives a Parser blocks. Resize and Free get a block as it was returned.
type Memory interface {
	// Resize returns a block of at least n bytes that starts with the first used
	// bytes of block, and frees block unless there is an error. A nil block has
	// no bytes.
	Resize(block []byte, used, n int) ([]byte, error)
	Free(block []byte)
}

// state is what the next byte belongs to.
type state uint8

const (
	atStart  state = iota // of a request
	inInline              // a request that does not start with *
	inCount               // the line of the *, behind it
	atLength              // the $ of an argument
	inLength              // the line of the $, behind it
	inBulk                // the argument's bytes
	atBulkCR              // the end of the line behind them
	atBulkLF
)

// Parser is the state of one connection's stream of requests. Its methods are
// called by one goroutine. The zero Parser is not usable; see Init.
//
// Argument i is bytes[end(i-1):end(i)], and bytesUsed is the end of the argument
// that is arriving.
type Parser struct {
	limits Limits
	memory Memory

	state     state
	elements  int   // of the array, those that have not arrived
	bulk      int   // bytes of the current argument that have not arrived
	received  int64 // bytes of the current request
	refused   error // wraps ErrNoRoom: the request is passed over
	header    [maxHeaderBytes]byte
	headerLen int

	count     int    // arguments that have arrived
	bytesUsed int    // of bytes
	bytes     []byte // own, or a block of memory
	ends      []byte // ownEnds, or a block of memory
	own       [ownBytes]byte
	ownEnds   [ownEnds * endBytes]byte
}

// Init makes p ready for the first request.
func (p *Parser) Init(limits Limits, memory Memory) {
	p.limits, p.memory = limits.withDefaults(), memory
	p.bytes, p.ends = p.own[:], p.ownEnds[:]
}

// Reset frees the request that Feed reported as complete, or what has arrived of
// one that is not.
func (p *Parser) Reset() {
	p.drop()
	p.state, p.elements, p.bulk, p.received, p.refused, p.headerLen = atStart, 0, 0, 0, nil, 0
}

// drop frees the arguments.
func (p *Parser) drop() {
	if len(p.bytes) > ownBytes {
		p.memory.Free(p.bytes)
	}
	if len(p.ends) > ownEnds*endBytes {
		p.memory.Free(p.ends)
	}
	p.bytes, p.ends, p.bytesUsed, p.count = p.own[:], p.ownEnds[:], 0, 0
}

// Args are arguments of a complete request, valid until Reset.
type Args struct {
	p    *Parser
	from int
}

// Args returns all arguments, the command's name first, of the request that Feed
// reported as complete.
func (p *Parser) Args() Args { return Args{p, 0} }

// From returns the arguments from the one with the index i on.
func (a Args) From(i int) Args { return Args{a.p, a.from + i} }

// Len is the number of arguments.
func (a Args) Len() int { return a.p.count - a.from }

// At is the argument with the index i.
func (a Args) At(i int) []byte {
	start, end := a.p.end(a.from+i-1), a.p.end(a.from+i)
	return a.p.bytes[start:end:end]
}

func (p *Parser) end(i int) int {
	if i < 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(p.ends[i*endBytes:]))
}

// Refused is an error if there was no room for the complete request. Then it has
// no arguments.
func (p *Parser) Refused() error { return p.refused }

// Received is how many bytes of an incomplete request have arrived, 0 between
// two requests.
func (p *Parser) Received() int64 { return p.received }

// Feed takes bytes from input, up to the end of a request, and says how many.
// After a complete request the caller reads the arguments and calls Reset before
// it feeds the rest. If the request is not complete, all of input was taken.
// After an error the bytes that follow have no meaning.
func (p *Parser) Feed(input []byte) (taken int, complete bool, err error) {
	for taken < len(input) && !complete && err == nil {
		var n int
		n, complete, err = p.step(input[taken:])
		taken += n
		p.received += int64(n)
		if p.state == atStart && !complete {
			p.received = 0 // an empty request ended
		}
	}
	return taken, complete, err
}

// step takes input as far as it belongs to the current state, and changes the
// state.
func (p *Parser) step(input []byte) (taken int, complete bool, err error) {
	switch p.state {
	case atStart:
		if input[0] != '*' {
			p.state = inInline
			return 0, false, nil
		}
		p.state = inCount
	case inInline:
		return p.takeInline(input)
	case inCount:
		taken, line, err := p.takeLine(input, errCountTooLong)
		if line != nil && err == nil {
			err = p.startArray(line)
		}
		return taken, false, err
	case atLength:
		if input[0] != '$' {
			return 0, false, ProtocolError("expected '$', got '" + string(rune(input[0])) + "'")
		}
		p.state = inLength
	case inLength:
		taken, line, err := p.takeLine(input, errLengthTooLong)
		if line != nil && err == nil {
			err = p.startArgument(line)
		}
		return taken, false, err
	case inBulk:
		taken = min(p.bulk, len(input))
		err = p.store(input[:taken], p.bulk)
		p.arrived(taken)
		return taken, false, err
	case atBulkCR:
		if input[0] != '\r' {
			return 0, false, errBulkEnd
		}
		p.state = atBulkLF
	case atBulkLF:
		if input[0] != '\n' {
			return 0, false, errBulkEnd
		}
		complete, err = p.endArgument()
		return 1, complete, err
	}
	return 1, false, nil
}

// takeLine takes a header's line, and returns it without its end when that has
// arrived, nil before.
func (p *Parser) takeLine(input []byte, tooLong error) (taken int, line []byte, err error) {
	for taken < len(input) {
		if p.headerLen == maxHeaderBytes {
			return taken, nil, tooLong
		}
		c := input[taken]
		p.header[p.headerLen] = c
		p.headerLen++
		taken++
		if c == '\n' {
			line, p.headerLen = p.header[:p.headerLen-1], 0
			return taken, line, nil
		}
	}
	return taken, nil, nil
}

// parseHeader reads what stands in a header's line: an int64, written as Redis
// demands it, and a carriage return.
func parseHeader(line []byte) (int64, bool) {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return 0, false
	}
	return table.ParseInteger(line[:len(line)-1])
}

func (p *Parser) startArray(line []byte) error {
	n, ok := parseHeader(line)
	switch {
	case !ok || n > int64(p.limits.Elements):
		return errCount
	case n <= 0: // no request, and no reply
		p.state = atStart
	default:
		p.state, p.elements = atLength, int(n)
	}
	return nil
}

func (p *Parser) startArgument(line []byte) error {
	n, ok := parseHeader(line)
	if !ok || n < 0 || n > int64(p.limits.BulkBytes) {
		return errLength
	}
	p.state, p.bulk = inBulk, int(n)
	p.arrived(0)
	return nil
}

// arrived notes that n more bytes of the argument are stored or passed over.
func (p *Parser) arrived(n int) {
	p.bulk -= n
	if p.bulk == 0 {
		p.state = atBulkCR
	}
}

func (p *Parser) endArgument() (complete bool, err error) {
	p.elements--
	p.state = atLength
	return p.elements == 0, p.addEnd()
}

// store appends b to the bytes of the current argument, of which expected bytes,
// b included, have not been stored.
func (p *Parser) store(b []byte, expected int) error {
	if p.refused == nil {
		if err := p.makeSpace(len(b), expected); err != nil {
			return err
		}
	}
	if p.refused == nil {
		p.bytesUsed += copy(p.bytes[p.bytesUsed:], b)
	}
	return nil
}

// makeSpace makes bytes long enough for n more, and half as long again unless
// expected bytes of the last argument are all that is to come: the time for
// copying stays in proportion to what arrives, and so does the memory.
func (p *Parser) makeSpace(n, expected int) error {
	need := p.bytesUsed + n
	if need > maxRequestBytes {
		return errRequestTooLong
	}
	if need <= len(p.bytes) {
		return nil
	}
	ahead := len(p.bytes) + len(p.bytes)/2
	if p.state == inBulk && p.elements == 1 {
		ahead = min(ahead, p.bytesUsed+expected)
	}
	return p.resize(&p.bytes, p.own[:], p.bytesUsed, max(need, ahead, firstBlockBytes))
}

// addEnd makes what has been stored an argument.
func (p *Parser) addEnd() error {
	if p.refused != nil {
		return nil
	}
	used := p.count * endBytes
	if used+endBytes > len(p.ends) {
		if err := p.resize(&p.ends, p.ownEnds[:], used, used+used/2); err != nil || p.refused != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint32(p.ends[used:], uint32(p.bytesUsed))
	p.count++
	return nil
}

// resize replaces *b, which is own or a block, by a block of at least n bytes.
func (p *Parser) resize(b *[]byte, own []byte, used, n int) error {
	old, kept := *b, used
	if len(old) == len(own) {
		old, kept = nil, 0
	}
	block, err := p.memory.Resize(old, kept, n)
	if errors.Is(err, ErrNoRoom) {
		p.drop()
		p.refused = err
		return nil
	}
	if err != nil {
		return err
	}
	if old == nil {
		copy(block, own[:used])
	}
	*b = block
	return nil
}

// Direct returns space for the next bytes of a long argument, so that they need
// not be copied from a buffer, or nil if they are to be fed. Arrived says how
// many have been put there.
func (p *Parser) Direct() ([]byte, error) {
	if p.state != inBulk || p.refused != nil || p.bulk < directBytes {
		return nil, nil
	}
	if len(p.bytes)-p.bytesUsed < min(p.bulk, directBytes) {
		if err := p.makeSpace(directBytes, p.bulk); err != nil || p.refused != nil {
			return nil, err
		}
	}
	return p.bytes[p.bytesUsed:min(len(p.bytes), p.bytesUsed+p.bulk)], nil
}

// Arrived notes n bytes that were put into the space from Direct.
func (p *Parser) Arrived(n int) {
	p.bytesUsed += n
	p.received += int64(n)
	p.arrived(n)
}
