package workload

import (
	"runtime"
	"sync/atomic"
)

// heap is what a loop needs of a peer. A block has len n; free gets it as it
// was handed out.
type heap interface {
	alloc(n int) []byte
	free(b []byte)
}

// pair allocates a block, writes its first byte and frees it, count times.
func pair[H heap](h H, size, count int) {
	for i := range count {
		b := h.alloc(size)
		b[0] = byte(i)
		h.free(b)
	}
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
		slot := &slots[r.below(len(slots))]
		h.free(*slot)
		b := h.alloc(r.between(low, high))
		b[0], b[len(b)-1] = 1, 2
		*slot = b
	}
}

// cycle walks two tables of one length each: it frees the slot that the one
// names, puts a block of the size that the other names there, and writes every
// byte. It returns where to go on.
func cycle[H heap](h H, slots [][]byte, sizes []int32, places []int16, at, count int) int {
	for range count {
		at++
		slot := &slots[places[at&(len(places)-1)]]
		if *slot != nil {
			h.free(*slot)
		}
		b := h.alloc(int(sizes[at%len(sizes)]))
		for i := range b {
			b[i] = byte(i)
		}
		*slot = b
	}
	return at
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

// produce puts up to count new blocks into the ring; it gives up when stop is
// set.
func produce[H heap](h H, r *ring, stop *atomic.Bool, size, count int) {
	for range count {
		slot := &r.slots[r.head%ringSlots]
		for spins := 0; slot.full.Load(); spins++ {
			if stop.Load() {
				return
			}
			if spins%ringSpins == ringSpins-1 {
				runtime.Gosched()
			}
		}
		b := h.alloc(size)
		b[0] = 1
		slot.block = b
		slot.full.Store(true)
		r.head++
	}
}

// consume frees up to count blocks from the ring and says how many; it gives
// up when stop is set.
func consume[H heap](h H, r *ring, stop *atomic.Bool, count int) int {
	for done := range count {
		slot := &r.slots[r.tail%ringSlots]
		for spins := 0; !slot.full.Load(); spins++ {
			if stop.Load() {
				return done
			}
			if spins%ringSpins == ringSpins-1 {
				runtime.Gosched()
			}
		}
		h.free(slot.block)
		slot.full.Store(false)
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

// drain empties the slots in order.
func drain[H heap](h H, slots [][]byte) {
	for i, b := range slots {
		if b != nil {
			h.free(b)
			slots[i] = nil
		}
	}
}
