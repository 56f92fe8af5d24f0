package rseqcs

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Counter is a sum that many goroutines add to at once, each on the cell of its
// vCPU. The zero value is ready; it must not be copied after the first use. Its
// methods may be called from any goroutine.
type Counter struct {
	once  sync.Once
	cells unsafe.Pointer // atomic; nil until once has run
	count int            // cells: of the vCPUs, then of the Ps
	rest  atomic.Int64   // what no cell could take
}

// Add adds delta.
func (c *Counter) Add(delta int64) {
	if cells := atomic.LoadPointer(&c.cells); cells != nil && run.add(cells, uintptr(delta)) == stored {
		return
	}
	c.addSlow(delta)
}

func (c *Counter) addSlow(delta int64) {
	c.once.Do(c.make)
	if operationsHere().add(c.cells, uintptr(delta)) != stored {
		c.rest.Add(delta)
	}
}

// make allocates the cells behind a pair of cache lines with the control words.
func (c *Counter) make() {
	prepare()
	ids := vcpu.Max()
	perP := max(minAssigned, ids, runtime.GOMAXPROCS(0))
	c.count = ids + perP
	memory := make([][cellSize]byte, 1+c.count)
	cells := unsafe.Pointer(&memory[1])
	*(*uint32)(unsafe.Add(cells, controlIDs)) = uint32(ids)
	*(*uint32)(unsafe.Add(cells, controlAssigned)) = uint32(perP)
	atomic.StorePointer(&c.cells, cells)
}

// Value returns the sum. It is exact when nobody adds; otherwise it lies
// between the sums before and after the call if all deltas have one sign.
func (c *Counter) Value() int64 {
	sum := c.rest.Load()
	cells := atomic.LoadPointer(&c.cells)
	if cells == nil {
		return sum
	}
	for i := range c.count {
		sum += atomic.LoadInt64((*int64)(unsafe.Add(cells, i<<cellShift)))
	}
	return sum
}
