package arena

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// capacity shares out what the magazines of one vCPU may hold among the classes,
// by bytes: a class gets more when it misses, as long as all together stay below
// what a vCPU may have, and then at the cost of classes that do not miss.
//
//	sum over the classes of capacity * size <= most + initial capacities
//	                                           + what is granted at the same time
type capacity struct {
	most    int64 // bytes for each vCPU
	initial [classCount]uint32
	slabs   []atomic.Pointer[demand]
}

// demand is what is known of the magazines of a slab, by class. Any thread may change it,
// whatever vCPU it is on.
//
//	bytes = sum of capacity * size over the classes in known, where a magazine that
//	        is not set up yet counts with its initial capacity
//	capacity > initial only for classes in grown, which are in known
type demand struct {
	known  classSet     // their initial capacity is in bytes
	grown  classSet     // may have more than their initial capacity
	missed classSet     // have missed since the hand passed them last
	bytes  atomic.Int64 // what they have room for
	hand   atomic.Uint32
}

// classSet is a set of classes.
type classSet [classCount/64 + 1]atomic.Uint64

// add adds a class, and reports whether this call was the one that did. Most find it
// there, and store nothing.
func (s *classSet) add(class uint8) bool {
	word, bit := &s[class/64], uint64(1)<<(class%64)
	return word.Load()&bit == 0 && word.Or(bit)&bit == 0
}

// remove takes a class out, and reports whether this call was the one that did.
func (s *classSet) remove(class uint8) bool {
	word, bit := &s[class/64], uint64(1)<<(class%64)
	return word.Load()&bit != 0 && word.And(^bit)&bit != 0
}

func (s *classSet) has(class uint8) bool { return s[class/64].Load()>>(class%64)&1 != 0 }

// next returns the first class of the set behind the given one, or 0: class 0 is in none.
func (s *classSet) next(class uint8) uint8 {
	word := int(class+1) / 64
	rest := s[word].Load() >> ((class + 1) % 64) << ((class + 1) % 64)
	for rest == 0 {
		if word++; word == len(s) {
			return 0
		}
		rest = s[word].Load()
	}
	return uint8(word*64 + bits.TrailingZeros64(rest))
}

const (
	// vcpuBytes is what the magazines of a vCPU hold at the most, and limitShare
	// which part of a heap's limit, if that is less.
	vcpuBytes  = 4 << 20
	limitShare = 32

	// classShare is which part of a limit one class of one vCPU holds at the most.
	classShare = 1024

	// initialBytes is what a class may have without asking: nothing for classes of
	// larger objects.
	initialBytes = 16 << 10
)

func (c *capacity) open(stack *rseqcs.Stack, limit int64) {
	for class, k := range magazines(limit) {
		c.initial[class] = uint32(k.Initial)
	}
	c.most = vcpuBytes
	if limit > 0 {
		c.most = min(c.most, limit/limitShare)
	}
	slabs, _ := stack.Slabs()
	c.slabs = make([]atomic.Pointer[demand], slabs)
}

// magazines returns the capacities of the magazines: little at first, so that
// classes of little use keep little.
func magazines(limit int64) []rseqcs.Capacity {
	list := make([]rseqcs.Capacity, classCount)
	for i := range list {
		c := &classes[i]
		if c.size == 0 {
			continue
		}
		most := int64(c.magazine)
		if limit > 0 {
			most = min(most, max(1, limit/classShare/int64(c.size)))
		}
		initial := min(2*int64(c.batch), initialBytes/int64(c.size))
		list[i] = rseqcs.Capacity{Initial: int(min(initial, most)), Max: int(most)}
	}
	return list
}

// grow gives the magazine of the class that has missed on this vCPU room for up
// to count more objects, and reports whether it got any.
func (h *Heap) grow(class uint8, count int) bool {
	c := &h.capacity
	slab := h.Magazines.Here()
	d := c.demandOf(slab)
	d.missed.add(class)
	size := int64(classes[class].size)
	if d.known.add(class) { // now, although the magazine may be set up only afterwards
		d.bytes.Add(int64(c.initial[class]) * size)
	}
	now, most := h.Magazines.Capacity(slab, int(class))
	if now == most {
		return false
	}
	want := int64(min(count, most-now)) * size
	free := max(0, c.most-d.bytes.Load())
	if free < want {
		free += h.steal(slab, class, want-free)
	}
	granted := h.Magazines.Extend(slab, int(class), int(min(want, free)/size))
	if granted == 0 {
		return false
	}
	d.bytes.Add(int64(granted) * size)
	d.grown.add(class)
	return true
}

// demandOf returns what is known of a slab.
func (c *capacity) demandOf(slab int) *demand {
	d := c.slabs[slab].Load()
	if d == nil {
		c.slabs[slab].CompareAndSwap(nil, new(demand))
		d = c.slabs[slab].Load()
	}
	return d
}

// lowered counts capacity that a magazine has lost otherwise. It allocates nothing: a
// class that has grown is known.
func (c *capacity) lowered(slab, class, count int) {
	if d := c.slabs[slab].Load(); d != nil {
		d.bytes.Add(-int64(count) * int64(classes[class].size))
	}
}

// steal takes capacity away from classes that have not missed since the hand
// passed them last, and the objects that no longer fit. It returns how many bytes
// that were. The hand goes round once, over the classes that have grown: a class that it
// passes is spared once for having missed, however often that was.
func (h *Heap) steal(slab int, thief uint8, want int64) (got int64) {
	d := h.capacity.demandOf(slab)
	start := uint8(d.hand.Load())
	hand, wrapped := start, false
	for got < want {
		victim := d.grown.next(hand)
		if victim == 0 && !wrapped {
			hand, wrapped = 0, true
			continue
		}
		if victim == 0 || wrapped && victim > start {
			hand = start
			break
		}
		hand = victim
		if victim != thief && !d.missed.remove(victim) {
			got += h.shrink(d, slab, victim, want-got)
		}
	}
	d.hand.Store(uint32(hand))
	return got
}

// shrink takes capacity of about so many bytes from a class, and returns how many.
func (h *Heap) shrink(d *demand, slab int, class uint8, want int64) (got int64) {
	size := int64(classes[class].size)
	// Out of the set first: who makes it grow meanwhile puts it back.
	d.grown.remove(class)
	n := h.Magazines.Shrink(slab, int(class), int((want+size-1)/size))
	got = int64(n) * size
	d.bytes.Add(-got)
	if now, _ := h.Magazines.Capacity(slab, int(class)); now > int(h.capacity.initial[class]) {
		d.grown.add(class)
	}
	if n > 0 {
		h.evict(slab, class)
	}
	return got
}

// evict moves the objects of a magazine that are above its capacity to the floors
// below, if the thread still runs on that vCPU.
func (h *Heap) evict(slab int, class uint8) {
	now, _ := h.Magazines.Capacity(slab, int(class))
	if over := h.Magazines.Len(slab, int(class)) - now; over > 0 {
		h.evictObjects(slab, class, over)
	}
}

// evictObjects is evict of so many objects.
//
//go:noinline so that the array is on the stack only where there are any
func (h *Heap) evictObjects(slab int, class uint8, over int) {
	var array [maxBatch]unsafe.Pointer
	for over > 0 && h.Magazines.Here() == slab {
		n := h.Magazines.PopBatch(int(class), array[:min(over, len(array))])
		h.giveBack(class, array[:n])
		if over -= n; n == 0 {
			break
		}
	}
}
