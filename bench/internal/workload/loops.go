package workload

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// heap is what a loop needs of a peer. A block has len n; free gets it as it
// was handed out.
type heap interface {
	alloc(n int) []byte
	free(b []byte)
}

// fullHeap can also clear what it hands out, and change the length of a block:
// the first min(len(b), n) bytes stay, the others may be anything.
type fullHeap interface {
	heap
	zalloc(n int) []byte
	realloc(b []byte, n int) []byte
}

// manyHeap has calls for many blocks of one length.
type manyHeap interface {
	heap
	allocMany(blocks [][]byte, n int)
	freeMany(blocks [][]byte)
}

// droppingHeap releases all of its blocks with one call, and none alone.
type droppingHeap interface {
	heap
	drop()
}

// boundHeap can refuse a block, with nil.
type boundHeap interface {
	heap
	tryAlloc(n int) []byte
}

// pair allocates a block, writes its first byte and frees it, count times.
func pair[H heap](h H, size, count int) {
	for i := range count {
		b := h.alloc(size)
		b[0] = byte(i)
		h.free(b)
	}
}

// zeroedPair is pair with cleared blocks.
func zeroedPair[H fullHeap](h H, size, count int) {
	for i := range count {
		b := h.zalloc(size)
		b[0] = byte(i)
		h.free(b)
	}
}

// growth lets a block grow from low to high by doubling, and frees it. Of each
// new half it writes every byte, or only the last one.
func growth[H fullHeap](h H, low, high int, whole bool) {
	b := h.alloc(low)
	for n := 2 * low; n <= high; n *= 2 {
		b = h.realloc(b, n)
		if whole {
			clear(b[n/2:])
		}
		b[n-1] = 1
	}
	h.free(b)
}

// fill puts a block of random size into every slot.
func fill[H heap](h H, slots [][]byte, r *random, low, high int) {
	for i := range slots {
		b := h.alloc(r.between(low, high))
		b[0], b[len(b)-1] = 1, 2
		slots[i] = b
	}
}

// replace frees the block of a random slot and puts one of another random size
// there, writing its first and last byte, count times.
func replace[H heap](h H, slots [][]byte, r *random, low, high, count int) {
	for range count {
		at, size := r.pick(len(slots), low, high)
		slot := &slots[at]
		h.free(*slot)
		b := h.alloc(size)
		b[0], b[len(b)-1] = 1, 2
		*slot = b
	}
}

// exchange is replace as larson does it: it writes the first two bytes of a
// block and reads the first. It returns the sum of what it read.
func exchange[H heap](h H, slots [][]byte, r *random, low, high, count int) int {
	sum := 0
	for range count {
		at, size := r.pick(len(slots), low, high)
		slot := &slots[at]
		h.free(*slot)
		b := h.alloc(size)
		b[0], b[1] = 1, 2
		*slot = b
		sum += int(b[0])
	}
	return sum
}

// cycle walks two tables of one length each: it frees the slot that the one
// names, puts a block of the size that the other names there, and writes every
// byte with its index.
func cycle[H heap](h H, slots [][]byte, w *walk, count int) {
	for range count {
		slot := &slots[w.places[w.place]]
		if *slot != nil {
			h.free(*slot)
		}
		b := h.alloc(int(w.sizes[w.size]))
		writeIndices(b)
		*slot = b
		if w.place++; w.place == len(w.places) {
			w.place = 0
		}
		if w.size++; w.size == len(w.sizes) {
			w.size = 0
		}
	}
}

// walk is a position in the two tables of cycle.
type walk struct {
	sizes       []int32
	places      []int16
	size, place int
}

// writeIndices writes every byte of b with its index, eight at a time, as the
// compilers of the native side do of themselves.
func writeIndices(b []byte) {
	const indices, ones = 0x0706050403020100, 0x0101010101010101
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], indices+uint64(uint8(i))*ones)
	}
	for ; i < len(b); i++ {
		b[i] = byte(i)
	}
}

// batchFIFO fills all slots and empties them in the same order.
func batchFIFO[H heap](h H, slots [][]byte, size int) {
	for i := range slots {
		b := h.alloc(size)
		b[0] = byte(i)
		slots[i] = b
	}
	for _, b := range slots {
		h.free(b)
	}
}

// batchLIFO fills all slots and empties them from the last to the first.
func batchLIFO[H heap](h H, slots [][]byte, size int) {
	for i := range slots {
		b := h.alloc(size)
		b[0] = byte(i)
		slots[i] = b
	}
	for i := len(slots) - 1; i >= 0; i-- {
		h.free(slots[i])
	}
}

// batchMany is batchFIFO with a call for some slots at a time.
func batchMany[H manyHeap](h H, slots [][]byte, size, some int) {
	for at := 0; at < len(slots); at += some {
		part := slots[at : at+some]
		h.allocMany(part, size)
		for i := range part {
			part[i][0] = byte(i)
		}
	}
	for at := 0; at < len(slots); at += some {
		h.freeMany(slots[at : at+some])
	}
}

// scratch allocates count blocks and drops them all.
func scratch[H droppingHeap](h H, count, size int) {
	for i := range count {
		b := h.alloc(size)
		b[0] = byte(i)
	}
	h.drop()
}

// produce puts up to count new blocks into the ring; it gives up when stop is
// set.
func produce[H heap](h H, r *ring, stop *atomic.Bool, count int) {
	for range count {
		slot := &r.slots[r.head%ringSlots]
		for spins := 0; slot.Load() != nil; spins++ {
			if stop.Load() {
				return
			}
			if spins%ringSpins == ringSpins-1 {
				runtime.Gosched()
			}
		}
		b := h.alloc(ringSize)
		b[0] = 1
		slot.Store(unsafe.SliceData(b))
		r.head++
	}
}

// consume frees up to count blocks from the ring and says how many; it gives
// up when stop is set.
func consume[H heap](h H, r *ring, stop *atomic.Bool, count int) int {
	for done := range count {
		slot := &r.slots[r.tail%ringSlots]
		first := slot.Load()
		for spins := 0; first == nil; spins++ {
			if stop.Load() {
				return done
			}
			if spins%ringSpins == ringSpins-1 {
				runtime.Gosched()
			}
			first = slot.Load()
		}
		slot.Store(nil)
		h.free(unsafe.Slice(first, ringSize))
		r.tail++
	}
	return count
}

// touch fills the slots with blocks of the sizes that pick draws from, and
// writes the first bytes of each, up to touched.
func touch[H heap](h H, slots [][]byte, r *random, pick []int, touched int) {
	for i := range slots {
		b := h.alloc(pick[r.below(len(pick))])
		clear(b[:min(len(b), touched)])
		slots[i] = b
	}
}

// writeWhole allocates a block for a slot and clears it.
func writeWhole[H heap](h H, slots [][]byte, at, size int) {
	b := h.alloc(size)
	clear(b)
	slots[at] = b
}

// drain empties the slots in order.
func drain[H heap](h H, slots [][]byte) {
	for i, b := range slots {
		if b != nil {
			h.free(b)
			slots[i] = nil
		}
	}
}

// feast takes and writes blocks up to what the glutton wants, and gives half of
// them up when it is refused one. It returns how many of count were served.
func feast[H boundHeap](h H, g *glutton, count int) int {
	served := 0
	for range count {
		b := h.tryAlloc(g.size())
		if b == nil {
			g.refused++
			forgo(h, g, (g.count+1)/2)
			continue
		}
		clear(b)
		served++
		g.slots[g.head%gluttonSlots] = b
		g.head++
		g.count++
		for g.held += len(b); g.held > g.wanted || g.count == gluttonSlots; {
			forgo(h, g, 1)
		}
	}
	return served
}

// forgo frees the oldest blocks.
func forgo[H boundHeap](h H, g *glutton, blocks int) {
	for ; blocks > 0; blocks-- {
		slot := &g.slots[(g.head-g.count)%gluttonSlots]
		g.held -= len(*slot)
		h.free(*slot)
		*slot = nil
		g.count--
	}
}
