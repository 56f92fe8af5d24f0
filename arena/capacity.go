package arena

import (
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
	most  int64 // bytes for each vCPU
	slabs []atomic.Pointer[demand]
}

// demand is which classes of a slab have missed since the hand passed them last.
type demand struct {
	missed [classCount]atomic.Bool
	hand   atomic.Uint32 // the class that was looked at last
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

func (c *capacity) open(magazines *rseqcs.Stack, limit int64) {
	c.most = vcpuBytes
	if limit > 0 {
		c.most = min(c.most, limit/limitShare)
	}
	slabs, _ := magazines.Slabs()
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
	d.missed[class].Store(true)
	now, most := h.Magazines.Capacity(slab, int(class))
	if now == most {
		return false
	}
	size := int64(classes[class].size)
	want := int64(min(count, most-now)) * size
	free := max(0, c.most-h.capacityBytes(slab))
	if free < want {
		free += h.steal(slab, class, want-free)
	}
	granted := int(min(want, free) / size)
	return granted > 0 && h.Magazines.Grow(int(class), granted)
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

// capacityBytes returns what the magazines of a slab have room for.
func (h *Heap) capacityBytes(slab int) (bytes int64) {
	for class := 1; class < classCount; class++ {
		now, _ := h.Magazines.Capacity(slab, class)
		bytes += int64(now) * int64(classes[class].size)
	}
	return bytes
}

// steal takes capacity away from classes that have not missed since the hand
// passed them last, and the objects that no longer fit. It returns how many bytes
// that were, and looks at each class once.
func (h *Heap) steal(slab int, thief uint8, want int64) (got int64) {
	d := h.capacity.demandOf(slab)
	for range classCount {
		if got >= want {
			break
		}
		victim := d.hand.Add(1) % classCount
		if victim == 0 || d.missed[victim].Swap(false) || uint8(victim) == thief {
			continue
		}
		size := int64(classes[victim].size)
		if n := h.Magazines.Shrink(slab, int(victim), int((want-got+size-1)/size)); n > 0 {
			got += int64(n) * size
			h.evict(slab, uint8(victim))
		}
	}
	return got
}

// evict moves the objects of a magazine that are above its capacity to the floors
// below, if the thread still runs on that vCPU.
func (h *Heap) evict(slab int, class uint8) {
	var array [maxBatch]unsafe.Pointer
	now, _ := h.Magazines.Capacity(slab, int(class))
	for over := h.Magazines.Len(slab, int(class)) - now; over > 0 && h.Magazines.Here() == slab; {
		n := h.Magazines.PopBatch(int(class), array[:min(over, len(array))])
		h.giveBack(class, array[:n])
		if over -= n; n == 0 {
			break
		}
	}
}
