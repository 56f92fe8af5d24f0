package workload

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// The loops of the benchmarks that others have published; shapes_classic.go
// says what is theirs.

// simpleRound is a round of glibc's bench-malloc-simple: it fills the slots,
// writing every byte, frees the first half from the front and the second from
// the end.
func simpleRound[H heap](h H, slots [][]byte, size int) {
	for i := range slots {
		b := h.alloc(size)
		writeIndices(b)
		slots[i] = b
	}
	half := len(slots) / 2
	for _, b := range slots[:half] {
		h.free(b)
	}
	for i := len(slots) - 1; i >= half; i-- {
		h.free(slots[i])
	}
}

// hoard is the array of slots of a thread of sh6 and sh8. Slots are filled in
// order; those in [low, high) are kept and jumped over.
type hoard struct {
	slots     [][]byte
	at        int
	low, high int
	kept      int // length of the window
}

func newHoard(slots int) *hoard {
	return apart(hoard{slots: make([][]byte, slots), low: slots, high: slots, kept: slots / 5})
}

// sweep moves the window and frees what is outside of it; the array is full.
func sweep[H heap](h H, of *hoard) {
	end := len(of.slots)
	of.low = of.high
	if of.low >= end {
		of.low = 0
	}
	of.high = min(of.low+of.kept, end)
	for i := range of.low {
		h.free(of.slots[i])
		of.slots[i] = nil
	}
	for i := end - 1; i >= of.high; i-- {
		h.free(of.slots[i])
		of.slots[i] = nil
	}
	of.at = 0
}

// sh6Store allocates count blocks of one size. The jump is looked for after a
// block is stored, so that a window from 0 on is overwritten,
// and its blocks are lost.
func sh6Store[H heap](h H, of *hoard, size, count int) {
	for range count {
		b := h.alloc(size)
		b[0], b[size-1] = 1, 2
		of.slots[of.at] = b
		of.at++
		if of.at == of.low {
			of.at = of.high
		}
		if of.at >= len(of.slots) {
			sweep(h, of)
		}
	}
}

// sh8Store makes count steps, each of which allocates a block or, where the
// array is full, sweeps. It returns how many blocks there were.
func sh8Store[H heap](h H, of *hoard, size, count int) int {
	blocks := 0
	for range count {
		if of.at == of.low {
			of.at = of.high
		}
		if of.at >= len(of.slots) {
			sweep(h, of)
			continue
		}
		b := h.alloc(size)
		b[0], b[size-1] = 1, 2
		of.slots[of.at] = b
		of.at++
		blocks++
	}
	return blocks
}

// post allocates up to count blocks of 8 bytes and puts each into the next
// mailbox, with the box's number in it.
func post[H heap](h H, p *postbox, count int) {
	for range count {
		if p.posted == len(p.boxes) {
			return
		}
		b := h.alloc(postSize)
		binary.LittleEndian.PutUint64(b, uint64(p.posted))
		p.boxes[p.posted].Store(unsafe.SliceData(b))
		p.posted++
	}
}

// collect frees what is in the reader's next mailboxes, up to the first empty
// one, and says how many blocks that were.
func collect[H heap](h H, p *postbox, of *postReader) int {
	count := 0
	for of.at < len(p.boxes) {
		box := &p.boxes[of.at]
		first := box.Load()
		if first == nil {
			break
		}
		box.Store(nil)
		h.free(unsafe.Slice(first, postSize))
		count++
		of.next()
	}
	return count
}

// scribble allocates a byte, writes and reads it so many times, and frees it.
// It returns the sum of what it read.
func scribble[H heap](h H, writes int) int {
	b := h.alloc(1)
	sum := 0
	for i := range writes {
		b[0] = byte(i)
		sum += int(b[0])
	}
	h.free(b)
	return sum
}

// visit is count steps of alloc-test: a slot by Pareto's law is emptied after
// reading its block, or filled with a block that is written whole. It returns
// the sum of what it read.
func visit[H heap](h H, slots [][]byte, to *pareto, r *random, count int) uint64 {
	sum := uint64(0)
	for range count {
		slot := &slots[to.index(r.next())]
		if b := *slot; b != nil {
			sum += readWords(b)
			h.free(b)
			*slot = nil
			continue
		}
		b := h.alloc(geometricSize(r.next()))
		writeIndices(b)
		*slot = b
	}
	return sum
}

// readWords is the sum of b, eight bytes at a time.
func readWords(b []byte) uint64 {
	sum, i := uint64(0), 0
	for ; i+8 <= len(b); i += 8 {
		sum += binary.LittleEndian.Uint64(b[i:])
	}
	for ; i < len(b); i++ {
		sum += uint64(b[i])
	}
	return sum
}

// geometricSize draws from alloc-test's sizes: half of them are 5 to 8 bytes, a
// quarter 9 to 16, and so on up to 1024.
func geometricSize(draw uint64) int {
	const highest = 7
	i := bits.TrailingZeros64(draw&(1<<highest-1)+1) + 2
	return 1<<i + 1 + int(draw>>32&(1<<i-1))
}

// sway goes up and down a stack of blocks at random, count times: up with a
// block of low to high bytes, or once in a hundred times with thirty times as
// many, of which it writes the first and the last byte. It returns the height.
func sway[H heap](h H, slots [][]byte, height int, r *random, low, high, count int) int {
	for range count {
		up, size := r.pick(200, low, high)
		if height > 0 && (up >= 100 || height == len(slots)) {
			height--
			h.free(slots[height])
			slots[height] = nil
			continue
		}
		if up == 0 {
			size *= 30
		}
		b := h.alloc(size)
		b[0], b[len(b)-1] = 1, 2
		slots[height] = b
		height++
	}
	return height
}

// stressItem allocates an item of mstress and writes all of its words.
func stressItem[H heap](h H, words int) []byte {
	b := h.alloc(8 * words)
	for i := range words {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(words-i)^stressCookie)
	}
	return b
}

// stressFree checks the words of an item and frees it; nil is ignored. It
// returns how many words were not what was written.
func stressFree[H heap](h H, b []byte) int {
	if b == nil {
		return 0
	}
	wrong, words := 0, len(b)/8
	for i := range words {
		if binary.LittleEndian.Uint64(b[8*i:]) != uint64(words-i)^stressCookie {
			wrong++
		}
	}
	h.free(b)
	return wrong
}

// stressRound is what one thread does in a round of mstress. It returns the
// items allocated, and the words that were not what was written.
func stressRound[H heap](h H, s *stress, t *stressThread, allocs int) (items, wrong int) {
	retain := allocs / 2
	for allocs > 0 || retain > 0 {
		if retain == 0 || allocs > 0 && t.random.chance(51) {
			allocs--
			t.data = append(t.data, stressItem(h, t.words(5)))
		} else {
			retain--
			t.retained = append(t.retained, stressItem(h, t.words(7)))
		}
		items++
		if len(t.data) > 0 && t.random.chance(67) {
			at := t.random.below(len(t.data))
			wrong += stressFree(h, t.data[at])
			t.data[at] = nil
		}
		if len(t.data) > 0 && t.random.chance(26) {
			at := t.random.below(len(t.data))
			t.data[at] = s.transfers[t.random.below(len(s.transfers))].swap(t.data[at])
		}
	}
	for _, b := range t.retained {
		wrong += stressFree(h, b)
	}
	for _, b := range t.data {
		wrong += stressFree(h, b)
	}
	clear(t.retained)
	clear(t.data)
	t.retained, t.data = t.retained[:0], t.data[:0]
	return items, wrong
}

// rpLoop is one loop of rptest. It returns how many blocks it allocated.
func rpLoop[H heap](h H, t *rpThread) int {
	for range t.count() * 8 / 10 {
		if slot := &t.slots[t.freeAt]; *slot != nil {
			h.free(*slot)
			*slot = nil
		}
		t.freeAt = (t.freeAt + rpFreeStride) % len(t.slots)
	}
	for list := t.inbox.Swap(nil); list != nil; {
		next := list.next
		for _, b := range list.blocks {
			h.free(b)
		}
		t.keep(list)
		list = next
	}
	count := t.count()
	for range count {
		slot := &t.slots[t.allocAt]
		if *slot != nil {
			h.free(*slot)
		}
		*slot = rpBlock(h, t.size())
		t.allocAt = (t.allocAt + rpAllocStride) % len(t.slots)
	}
	t.loop++
	if t.loop%2 == 1 {
		return count
	}
	list := t.take()
	for range count {
		list.blocks = append(list.blocks, rpBlock(h, t.size()))
	}
	t.send(list)
	return 2 * count
}

// rpBlock allocates a block and writes its first four bytes, one of each page,
// and the last.
func rpBlock[H heap](h H, size int) []byte {
	const page = 4096
	b := h.alloc(size)
	binary.LittleEndian.PutUint32(b, uint32(size))
	for i := page; i < len(b); i += page {
		b[i] = 1
	}
	b[len(b)-1] = 2
	return b
}
