package derive

import "strings"

// edits is what changes in a text, by byte offsets. The tree is walked from the
// outside to the inside, so what is opened later at the same place stands further
// inside, and so does what is closed there.
type edits struct {
	opened   map[int]string
	closed   map[int]string
	replaced map[int]replacement
}

type replacement struct {
	length int
	text   string
}

func newEdits() *edits {
	return &edits{make(map[int]string), make(map[int]string), make(map[int]replacement)}
}

func (e *edits) open(at int, text string)  { e.opened[at] += text }
func (e *edits) close(at int, text string) { e.closed[at] = text + e.closed[at] }
func (e *edits) replace(at, length int, text string) {
	e.replaced[at] = replacement{length, text}
}

// apply returns the text with the changes.
func (e *edits) apply(source []byte) string {
	var b strings.Builder
	for at := 0; at <= len(source); at++ {
		b.WriteString(e.closed[at])
		b.WriteString(e.opened[at])
		if r, ok := e.replaced[at]; ok {
			b.WriteString(r.text)
			at += r.length - 1
		} else if at < len(source) {
			b.WriteByte(source[at])
		}
	}
	return b.String()
}
