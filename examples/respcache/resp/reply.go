package resp

import "strconv"

// The longest replies that are not strings of a client.
const (
	MaxHeaderBytes = 1 + 20 + 2 // an integer, or the line before a bulk string or array
	MaxErrorBytes  = 512        // what AppendError and AppendString write at the most
)

// BulkBytes is the length of a reply with a string of n bytes, or a bit more.
func BulkBytes(n int) int { return MaxHeaderBytes + n + len("\r\n") }

// LineBytes is the length of a line with a text of n bytes.
func LineBytes(n int) int { return min(n+len("-\r\n"), MaxErrorBytes) }

func appendHeader(b []byte, kind byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, kind), n, 10), "\r\n"...)
}

// AppendInt appends an integer.
func AppendInt(b []byte, n int64) []byte { return appendHeader(b, ':', n) }

// AppendArray appends the start of an array, whose items follow.
func AppendArray(b []byte, items int) []byte { return appendHeader(b, '*', int64(items)) }

// AppendBulk appends a string of any bytes.
func AppendBulk[T []byte | string](b []byte, text T) []byte {
	b = append(appendHeader(b, '$', int64(len(text))), text...)
	return append(b, "\r\n"...)
}

// AppendNull appends the absence of a string.
func AppendNull(b []byte) []byte { return append(b, "$-1\r\n"...) }

// AppendString appends a line such as OK.
func AppendString(b []byte, text string) []byte { return appendLine(b, '+', text) }

// AppendError appends a line that starts with a word such as ERR.
func AppendError(b []byte, text string) []byte { return appendLine(b, '-', text) }

// appendLine writes spaces for the ends of lines in text, and no more than
// MaxErrorBytes.
func appendLine(b []byte, kind byte, text string) []byte {
	b = append(b, kind)
	for i := range min(len(text), MaxErrorBytes-len("-\r\n")) {
		c := text[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		b = append(b, c)
	}
	return append(b, "\r\n"...)
}
