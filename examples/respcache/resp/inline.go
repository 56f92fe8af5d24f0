package resp

import "bytes"

// takeInline takes an inline request: a line of words, which is stored as it is
// and cut into arguments at its end.
func (p *Parser) takeInline(input []byte) (taken int, complete bool, err error) {
	ended := false
	if taken = bytes.IndexByte(input, '\n'); taken < 0 {
		taken = len(input)
	} else {
		ended = true
	}
	line := input[:taken]
	if ended {
		taken++
	}
	if p.received+int64(len(line)) > MaxInlineBytes {
		return taken, false, errInlineTooLong
	}
	if err = p.store(line, len(line)); err != nil || !ended {
		return taken, false, err
	}
	if p.refused != nil {
		return taken, true, nil // nothing is known of its quotes
	}
	if err = p.splitLine(); err != nil {
		return taken, false, err
	}
	if p.count == 0 && p.refused == nil {
		p.drop()
		p.state = atStart
		return taken, false, nil
	}
	return taken, true, nil
}

// splitLine makes arguments of the line in bytes, in place: no argument is longer
// than what it is written as.
func (p *Parser) splitLine() error {
	line := p.bytes[:p.bytesUsed]
	p.bytesUsed = 0
	for p.refused == nil {
		for len(line) > 0 && isSpace(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return nil
		}
		var ok bool
		if line, ok = p.takeWord(line); !ok {
			return errUnbalancedQuotes
		}
		if p.count == p.limits.Elements {
			return errCount
		}
		if err := p.addEnd(); err != nil {
			return err
		}
	}
	return nil
}

// takeWord moves the first word of line to the end of the arguments and returns
// what follows. ok is false if a quote is not closed, or not followed by a space.
func (p *Parser) takeWord(line []byte) (rest []byte, ok bool) {
	for len(line) > 0 && !endsWord(line[0]) {
		switch line[0] {
		case '"', '\'':
			if line, ok = p.takeQuoted(line[0], line[1:]); !ok || (len(line) > 0 && !isSpace(line[0])) {
				return nil, false
			}
			return line, true
		}
		p.putByte(line[0])
		line = line[1:]
	}
	return line, true
}

// takeQuoted moves what stands before the closing quote, and returns what follows
// it. In double quotes a backslash starts a byte in hexadecimal, a control
// character or any other byte, in single quotes only a quote.
func (p *Parser) takeQuoted(quote byte, line []byte) (rest []byte, closed bool) {
	for len(line) > 0 {
		c, taken := line[0], 1
		switch {
		case c == quote:
			return line[1:], true
		case c == '\\' && quote == '\'' && len(line) > 1 && line[1] == quote:
			c, taken = quote, 2
		case c == '\\' && quote == '"' && len(line) > 3 && line[1] == 'x' && isHex(line[2]) && isHex(line[3]):
			c, taken = hexDigit(line[2])<<4|hexDigit(line[3]), 4
		case c == '\\' && quote == '"' && len(line) > 1:
			c, taken = unescape(line[1]), 2
		}
		p.putByte(c)
		line = line[taken:]
	}
	return nil, false
}

func (p *Parser) putByte(c byte) {
	p.bytes[p.bytesUsed] = c
	p.bytesUsed++
}

func isSpace(c byte) bool { return c == ' ' || ('\t' <= c && c <= '\r') }

// endsWord is isSpace without the vertical tab and the form feed: Redis passes
// over those between words only.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isHex(c byte) bool {
	return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f') || ('A' <= c && c <= 'F')
}

func hexDigit(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}
