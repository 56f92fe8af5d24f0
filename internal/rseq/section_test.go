//go:build amd64 || arm64

package rseq

import (
	"encoding/binary"
	"strings"
	"testing"
)

// layout is where the parts of hand-made section code lie, in bytes; -1 leaves
// a part out.
type layout struct {
	start, committed, abort int
	signatureAt, anchorsAt  int
	jumps                   [3]bool // a long form, where there are two
	notAJump                int     // index of the anchor that is none, or -1
}

// sound returns a layout that describe accepts.
func sound() layout {
	return layout{start: 16, committed: 48, abort: 64, signatureAt: 60, anchorsAt: 80, notAJump: -1}
}

const handMadeBase = 0x1000

// assemble makes the code, as long as Describe looks.
func (l layout) assemble() []byte {
	code := make([]byte, maxSectionCode)
	if l.signatureAt >= 0 {
		binary.LittleEndian.PutUint32(code[l.signatureAt:], Signature)
	}
	if l.anchorsAt < 0 {
		return code
	}
	at := l.anchorsAt + copy(code[l.anchorsAt:], anchorMark[:])
	for i, target := range []int{l.start, l.committed, l.abort} {
		jump := encodeJump(at, target, l.jumps[i])
		if i == l.notAJump {
			clear(jump)
		}
		at += copy(code[at:], jump)
	}
	return code
}

func TestDescribe(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*layout)
		refuse string // part of the error; empty for a section that is right
	}{
		{"sound", func(*layout) {}, ""},
		{"long jumps", func(l *layout) { l.jumps = [3]bool{true, true, true} }, ""},
		{"mixed jumps", func(l *layout) { l.jumps = [3]bool{true, false, true} }, ""},
		{"far jumps", func(l *layout) { l.anchorsAt, l.jumps = 900, [3]bool{true, true, true} }, ""},
		{"abort before the section", func(l *layout) { l.abort, l.signatureAt = 8, 4 }, ""},
		{"abort right behind the commit", func(l *layout) { l.abort, l.signatureAt = 48, 44 }, ""},
		{"anchors unaligned", func(l *layout) { l.anchorsAt = 84 }, ""},
		{"no anchors", func(l *layout) { l.anchorsAt = -1 }, "without anchors"},
		{"anchors too far", func(l *layout) { l.anchorsAt = maxSectionCode - 24 }, "without anchors"},
		{"first anchor is no jump", func(l *layout) { l.notAJump = 0 }, "an anchor is not a"},
		{"second anchor is no jump", func(l *layout) { l.notAJump = 1 }, "an anchor is not a"},
		{"third anchor is no jump", func(l *layout) { l.notAJump = 2 }, "an anchor is not a"},
		{"start before the function", func(l *layout) { l.start = -8 }, "do not lie in its code"},
		{"start at the entry, before START", func(l *layout) { l.start = 0 }, "do not lie in its code"},
		{"empty section", func(l *layout) { l.committed = 16 }, "do not lie in its code"},
		{"end before the start", func(l *layout) { l.committed = 12 }, "do not lie in its code"},
		{"abort without room for a signature", func(l *layout) { l.abort = 0 }, "do not lie in its code"},
		{"abort behind the anchors", func(l *layout) { l.abort, l.signatureAt = 120, 116 }, "do not lie in its code"},
		{"abort inside of the section", func(l *layout) { l.abort, l.signatureAt = 32, 28 }, "inside of its section"},
		{"abort at the start", func(l *layout) { l.abort, l.signatureAt = 16, 12 }, "inside of its section"},
		{"abort at the last instruction", func(l *layout) { l.abort, l.signatureAt = 44, 40 }, "inside of its section"},
		{"no signature", func(l *layout) { l.signatureAt = -1 }, "without the signature"},
		{"signature not right before", func(l *layout) { l.signatureAt = 56 }, "without the signature"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := sound()
			row.change(&l)
			got, err := describe(l.assemble(), handMadeBase)
			if row.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), row.refuse) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, row.refuse)
				}
				return
			}
			want := Descriptor{
				Start:            handMadeBase + uint64(l.start),
				PostCommitOffset: uint64(l.committed - l.start),
				Abort:            handMadeBase + uint64(l.abort),
			}
			if err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}
