package alloc

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// FuzzOps reads bytes as operations and plays them against a model.
func FuzzOps(f *testing.F) {
	for _, seed := range []string{
		"",
		"\x00\x10\x03\x00\x10\x03\x04\x00\x00\x04\x00\x00",
		"\x00\xff\x0c\x01\xff\x0c\x03\x00\x80\x04\x01\x00\x05\x00\x00\x00\xff\x0c",
		"\x02\x40\x0c\x02\x01\x06\x03\x01\xff\x06\x00\x11\x04\x00\x00\x07\x00\x09",
		"\x08\x40\x02\x08\x41\x03\x06\x00\x01\x03\x00\x00\x03\x01\x0b\x04\x00\x02",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, ops []byte) { playOps(t, ops) })
}

// TestOps plays long random operations.
func TestOps(t *testing.T) {
	random := steady.Random(t)
	for range 12 {
		ops := make([]byte, 3*500)
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		playOps(t, ops)
	}
}

// operation is one step: a code and two arguments.
type operation struct{ code, x, y byte }

// size makes few different lengths of the arguments, up to 1 MiB.
func (o operation) size() int { return int(o.x) << (o.y % 13) }

// opsModel is an allocator and the blocks that it should have handed out.
type opsModel struct {
	t      *testing.T
	a      *Allocator
	blocks []opsBlock
	live   int
	mark   byte
}

// opsBlock is a block whose bytes up to its length are all the mark.
type opsBlock struct {
	b    []byte
	mark byte
}

func playOps(t *testing.T, ops []byte) {
	a, err := New(Options{Reserve: 16 << 20, Limit: 6 << 20, ReleaseDelay: -1})
	if err != nil {
		t.Fatal(err)
	}
	m := &opsModel{t: t, a: a}
	for ; len(ops) >= 3; ops = ops[3:] {
		m.step(operation{ops[0], ops[1], ops[2]})
		if len(ops)%(3*16) == 0 {
			checkQuiet(t, a, m.live)
		}
	}
	for i, block := range m.blocks {
		m.check(i)
		a.Free(block.b)
	}
	checkQuiet(t, a, 0)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func (m *opsModel) step(o operation) {
	m.t.Helper()
	at := 0
	if len(m.blocks) > 0 {
		at = int(o.x) % len(m.blocks)
	}
	switch o.code % 10 {
	case 0, 1:
		m.add(o.size(), true)(m.a.Alloc(o.size()))
	case 2:
		m.add(o.size(), false)(m.a.AllocUninit(o.size()))
	case 3:
		m.add(o.size(), true)(m.a.AllocAligned(o.size(), 1<<(o.code%20)))
	case 4:
		if _, err := m.a.Trim(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
	default:
		if len(m.blocks) == 0 {
			return
		}
		m.check(at)
		switch o.code % 10 {
		case 5, 6:
			m.realloc(at, int(binary.LittleEndian.Uint16([]byte{o.y, o.x})))
		case 7:
			m.misuse(at, o)
		default:
			m.free(at, int(o.y))
		}
	}
}

// add takes over a new block, which is zero or not.
func (m *opsModel) add(n int, zero bool) func(b []byte, err error) {
	return func(b []byte, err error) {
		m.t.Helper()
		if err != nil {
			m.checkError(n, err)
			return
		}
		if zero {
			if i := firstOther(b[:cap(b)], 0); i >= 0 {
				m.t.Fatalf("%d bytes: byte %d is not zero", n, i)
			}
		}
		if len(b) != n || cap(b) != m.a.UsableSize(b) {
			m.t.Fatalf("%d bytes: length %d, capacity %d, usable %d", n, len(b), cap(b), m.a.UsableSize(b))
		}
		m.keep(b)
	}
}

// keep fills a block to its capacity and remembers it.
func (m *opsModel) keep(b []byte) {
	m.mark++
	fill(b[:cap(b)], m.mark)
	m.blocks = append(m.blocks, opsBlock{b, m.mark})
	m.live += cap(b)
}

func (m *opsModel) checkError(n int, err error) {
	m.t.Helper()
	if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrNoMemory) {
		m.t.Fatalf("%d bytes: %v", n, err)
	}
}

func (m *opsModel) check(at int) {
	m.t.Helper()
	block := m.blocks[at]
	if i := firstOther(block.b[:cap(block.b)], block.mark); i >= 0 {
		m.t.Fatalf("byte %d of a block of %d is %d, want %d", i, cap(block.b), block.b[:cap(block.b)][i], block.mark)
	}
}

// drop forgets a block and returns it.
func (m *opsModel) drop(at int) []byte {
	b := m.blocks[at].b
	m.blocks[at] = m.blocks[len(m.blocks)-1]
	m.blocks = m.blocks[:len(m.blocks)-1]
	m.live -= cap(b)
	return b
}

func (m *opsModel) free(at, cut int) {
	b := m.drop(at)
	cut = min(cut, cap(b))
	m.a.Free(b[: cut/2 : cut])
}

func (m *opsModel) realloc(at, n int) {
	m.t.Helper()
	block := m.blocks[at]
	b, err := m.a.Realloc(block.b, n)
	if err != nil {
		m.checkError(n, err)
		m.check(at)
		return
	}
	m.drop(at)
	kept := min(len(block.b), n)
	if len(b) != n || firstOther(b[:kept], block.mark) >= 0 || firstOther(b[kept:], 0) >= 0 {
		m.t.Fatalf("from %d to %d bytes: length %d, or other bytes", len(block.b), n, len(b))
	}
	m.keep(b)
}

// misuse frees what is no start of a block.
func (m *opsModel) misuse(at int, o operation) {
	m.t.Helper()
	b := m.blocks[at].b
	inside := 1 + int(o.y)
	if inside >= cap(b) {
		return
	}
	wrong := b[:cap(b)][inside:]
	if _, ok := panicOf(func() { m.a.Free(wrong) }).(*MisuseError); !ok {
		m.t.Fatalf("Free of an address at %d in a block of %d bytes: no *MisuseError", inside, cap(b))
	}
}
