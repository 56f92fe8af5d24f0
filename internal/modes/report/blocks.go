package report

import (
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// playBlocks allocates blocks, marks them, and hands most of them to other
// players, who check the mark and free them.
func playBlocks(t *table) (Game, error) {
	allocator, err := alloc.New(alloc.Options{Name: "blocks"})
	if err != nil {
		return Game{}, err
	}
	defer allocator.Close()
	g := game{table: t}
	places := make([]atomic.Pointer[block], 512)
	g.play(func(me uint32, random *rand.Rand) {
		bytes, err := allocator.Alloc(sizes[random.IntN(len(sizes))])
		if err != nil {
			g.violated("no memory: %v", err)
			return
		}
		mine := &block{bytes, me}
		if !mine.own(0, me) {
			g.violated("a new block of %d bytes at %p is not zero, or has two owners", len(bytes), &bytes[0])
			return
		}
		if theirs := places[random.IntN(len(places))].Swap(mine); theirs != nil {
			g.free(allocator, theirs)
		}
	})
	for i := range places {
		if b := places[i].Load(); b != nil {
			g.free(allocator, b)
		}
	}
	if live := allocator.Stats().Live; live != 0 && len(g.violations) == 0 {
		g.violated("%d bytes are in use, and all was freed", live)
	}
	return g.result(), nil
}

// sizes of the blocks in bytes: small classes, a large one, and a few pages.
var sizes = []int{16, 64, 64, 200, 1000, 1024, 4096, 30_000, 300_000}

// block is a block of memory with its owner's mark in its first and last word.
type block struct {
	bytes []byte
	owner uint32
}

// own changes the mark from one owner to another and reports whether it was the one.
func (b *block) own(from, to uint32) bool {
	first := (*uint32)(unsafe.Pointer(&b.bytes[0]))
	last := (*uint32)(unsafe.Pointer(&b.bytes[len(b.bytes)-4]))
	return atomic.CompareAndSwapUint32(first, from, to) && atomic.CompareAndSwapUint32(last, from, to)
}

func (g *game) free(allocator *alloc.Allocator, b *block) {
	if !b.own(b.owner, 0) {
		g.violated("a block of %d bytes at %p was given to somebody else as well", len(b.bytes), &b.bytes[0])
		return
	}
	allocator.Free(b.bytes)
}
