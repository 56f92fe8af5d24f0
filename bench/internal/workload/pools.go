package workload

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// classPools is what a careful Go program builds from sync.Pool: one pool for
// each size class, and the pointer to a block's first byte as the pooled value,
// since a pointer goes into an interface without an allocation.
//
// The classes are those of this project (alloc.GoodSize), so that both round a
// size to the same. A block above maxBlock goes to the Go heap.
//
// Invariant: class[g] is the class of every size in (8(g-1), 8g].
type classPools struct {
	class [maxBlock/granule + 1]uint8
	size  [maxClasses]int
	pool  [maxClasses]sync.Pool
}

const (
	granule    = 8 // bytes; every size class is a multiple
	maxClasses = 256
)

func newClassPools() (*classPools, error) {
	p := &classPools{}
	for count, low := 0, 0; low < maxBlock; count++ {
		size := alloc.GoodSize(low + 1)
		if size%granule != 0 || size <= low || count == maxClasses {
			return nil, fmt.Errorf("sync.Pool: class %d of %d bytes after one of %d: the pools need multiples of %d and at most %d classes",
				count, size, low, granule, maxClasses)
		}
		p.size[count] = size
		for g := low/granule + 1; g <= min(size, maxBlock)/granule; g++ {
			p.class[g] = uint8(count)
		}
		low = size
	}
	return p, nil
}

func (p *classPools) get(n int) []byte {
	if n > maxBlock {
		return make([]byte, n)
	}
	class := p.class[(n+granule-1)/granule]
	if first, ok := p.pool[class].Get().(*byte); ok {
		return unsafe.Slice(first, p.size[class])[:n]
	}
	return make([]byte, p.size[class])[:n]
}

func (p *classPools) put(b []byte) {
	if cap(b) > maxBlock {
		return
	}
	p.pool[p.class[cap(b)/granule]].Put(unsafe.SliceData(b))
}
