package rseqcs

import (
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
	cells unsafe.Pointer // atomic: the row of cells that run works on; nil until once has run
	vcpus []cell         // the rows, each behind a cell with its control word
	ps    []cell
	rest  atomic.Int64 // what no cell could take
}

// cell is the share of one vCPU or P. Its own thread alone writes it.
type cell struct {
	sum int64
	_   [cellSize - 8]byte
}

// Add adds delta.
func (c *Counter) Add(delta int64) {
	if cells := atomic.LoadPointer(&c.cells); cells != nil && run.add(cells, delta) == stored {
		return
	}
	c.addSlow(delta)
}

func (c *Counter) addSlow(delta int64) {
	c.once.Do(c.make)
	o, cells := operationsHere(), c.cells
	if o == &pinned {
		cells = unsafe.Pointer(&c.ps[1])
	}
	if o.add(cells, delta) != stored {
		c.rest.Add(delta)
	}
}

func (c *Counter) make() {
	prepare()
	c.ps = makeCells(rowOfPs())
	cells := unsafe.Pointer(&c.ps[1])
	if sections {
		c.vcpus = makeCells(vcpu.Max())
		cells = unsafe.Pointer(&c.vcpus[1])
	}
	atomic.StorePointer(&c.cells, cells)
}

// makeCells returns a row of cells behind the one that holds the control word.
func makeCells(count int) []cell {
	cells := make([]cell, 1+count)
	*rowCount(unsafe.Pointer(&cells[1])) = uint32(count)
	return cells
}

// Value returns the sum. It is exact when nobody adds; otherwise it lies
// between the sums before and after the call if all deltas have one sign.
func (c *Counter) Value() int64 {
	sum := c.rest.Load()
	if atomic.LoadPointer(&c.cells) == nil {
		return sum
	}
	for _, row := range [][]cell{c.vcpus, c.ps} {
		for i := 1; i < len(row); i++ {
			sum += atomic.LoadInt64(&row[i].sum)
		}
	}
	return sum
}
