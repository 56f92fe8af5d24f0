// Package resptest has a second parser of requests, for tests of the first: it
// sees the whole stream at once, and is written to be obviously right.
package resptest

import (
	"bytes"
	"regexp"
	"strconv"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
)

// End says how a stream ends.
type End int

const (
	Complete   End = iota // after a request
	Incomplete            // within a request
	Invalid               // at bytes that are no request
)

var (
	integer = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	// word is one argument of an inline request. A quoted part ends it; a vertical
	// tab or a form feed does not.
	word   = regexp.MustCompile(`(?s)^[^"'\t\n\r ]*("(\\.|[^\\"])*"|'(\\+'|\\+[^'\\]|[^'\\])*'|)`)
	escape = regexp.MustCompile(`(?s)\\(x[0-9a-fA-F]{2}|.)`)
)

// Requests cuts stream into requests, those without arguments left out.
func Requests(stream []byte, limits resp.Limits) (requests [][][]byte, end End) {
	for len(stream) > 0 {
		var request [][]byte
		if stream[0] == '*' {
			request, stream, end = array(stream[1:], limits)
		} else {
			request, stream, end = inline(stream, limits)
		}
		if end != Complete {
			return requests, end
		}
		if len(request) > 0 {
			requests = append(requests, request)
		}
	}
	return requests, Complete
}

func array(stream []byte, limits resp.Limits) (request [][]byte, rest []byte, end End) {
	count, rest, end := header(stream, limits.Elements)
	for i := 0; i < count && end == Complete; i++ {
		if len(rest) == 0 {
			return nil, nil, Incomplete
		}
		if rest[0] != '$' {
			return nil, nil, Invalid
		}
		var length int
		if length, rest, end = header(rest[1:], limits.BulkBytes); end != Complete {
			break
		}
		if length < 0 {
			return nil, nil, Invalid
		}
		if len(rest) < length {
			return nil, nil, Incomplete
		}
		request = append(request, rest[:length])
		rest = rest[length:]
		if !bytes.HasPrefix(rest, []byte("\r\n")) {
			if bytes.HasPrefix([]byte("\r\n"), rest) {
				return nil, nil, Incomplete
			}
			return nil, nil, Invalid
		}
		rest = rest[2:]
	}
	return request, rest, end
}

// header reads the rest of a line that starts with * or $. It has at most 22
// bytes.
func header(stream []byte, most int) (n int, rest []byte, end End) {
	line, rest, ended := bytes.Cut(stream, []byte("\n"))
	switch {
	case len(line) >= 22 && !(len(line) == 22 && !ended):
		return 0, nil, Invalid
	case !ended:
		return 0, nil, Incomplete
	case !bytes.HasSuffix(line, []byte("\r")):
		return 0, nil, Invalid
	}
	text := string(line[:len(line)-1])
	n, err := strconv.Atoi(text)
	if err != nil || !integer.MatchString(text) || n > most {
		return 0, nil, Invalid
	}
	return n, rest, Complete
}

func inline(stream []byte, limits resp.Limits) (request [][]byte, rest []byte, end End) {
	line, rest, ended := bytes.Cut(stream, []byte("\n"))
	switch {
	case len(line) > resp.MaxInlineBytes:
		return nil, nil, Invalid
	case !ended:
		return nil, nil, Incomplete
	}
	const spaces = "\t\n\v\f\r "
	for line = bytes.TrimLeft(line, spaces); len(line) > 0; line = bytes.TrimLeft(line, spaces) {
		if len(request) == limits.Elements {
			return nil, nil, Invalid
		}
		raw := word.Find(line)
		line = line[len(raw):]
		if len(line) > 0 && !bytes.ContainsRune([]byte(spaces), rune(line[0])) {
			return nil, nil, Invalid
		}
		request = append(request, unquote(raw))
	}
	return request, rest, Complete
}

func unquote(raw []byte) []byte {
	start := bytes.IndexAny(raw, `"'`)
	if start < 0 {
		return raw
	}
	plain, quoted := raw[:start:start], raw[start+1:len(raw)-1]
	if raw[start] == '\'' {
		return append(plain, bytes.ReplaceAll(quoted, []byte(`\'`), []byte(`'`))...)
	}
	return append(plain, escape.ReplaceAllFunc(quoted, func(sequence []byte) []byte {
		if len(sequence) == 4 {
			n, _ := strconv.ParseUint(string(sequence[2:]), 16, 8)
			return []byte{byte(n)}
		}
		if i := bytes.IndexByte([]byte("nrtba"), sequence[1]); i >= 0 {
			return []byte{"\n\r\t\b\a"[i]}
		}
		return sequence[1:]
	})...)
}
