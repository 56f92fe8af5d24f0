package alloc

import (
	"fmt"
	"math/bits"
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// A batch that holds a block twice is refused before anything of it is freed: freed
// twice, the block would have two owners, and no magazine could tell. The addresses of
// most batches rise or fall, which takes a comparison for each; a batch in no order is
// looked up in a table.

const (
	// shortBatch is a size of batches for which the table is small: to clear that for
	// batchMax blocks takes longer than to look these up.
	shortBatch = 8

	// marksPerBlock is how many bits there are for each block of a batch of batchMax:
	// enough that two different addresses share one in every other batch.
	marksPerBlock = 64

	// slotsPerBlock is how many slots there are at least for each block of a larger
	// batch.
	slotsPerBlock = 2

	// hashFactor spreads addresses: 2^64 divided by the golden ratio.
	hashFactor = 0x9e3779b97f4a7c15
)

func addressIn(bs [][]byte, i int) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(bs[i])))
}

// refuseDuplicates panics if the batch holds an address of this allocator twice.
func (a *Allocator) refuseDuplicates(bs [][]byte) {
	var again, first int
	switch {
	case inOrder(bs):
		return
	case len(bs) <= shortBatch:
		var marks [shortBatch * marksPerBlock / 64]uint64
		again, first = a.duplicateByMarks(bs, marks[:])
	case len(bs) <= batchMax:
		var marks [batchMax * marksPerBlock / 64]uint64
		again, first = a.duplicateByMarks(bs, marks[:])
	default:
		again, first = a.duplicateBySlots(bs)
	}
	if again == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(bs[again]))
	panic(&MisuseError{
		Op: "FreeBatch", Addr: uintptr(p), Size: arena.ClassSize(a.heap.ClassAt(p)),
		Reason: fmt.Sprintf("double free: slices %d and %d of the batch start there; none of the batch was freed", first, again),
	})
}

// inOrder reports whether the addresses of all slices rise or all fall.
func inOrder(bs [][]byte) bool {
	if len(bs) < 2 {
		return true
	}
	i, last := 1, addressIn(bs, 0)
	for ; i < len(bs); i++ {
		next := addressIn(bs, i)
		if next <= last {
			break
		}
		last = next
	}
	if i > 1 {
		return i == len(bs)
	}
	for ; i < len(bs); i++ {
		next := addressIn(bs, i)
		if next >= last {
			return false
		}
		last = next
	}
	return true
}

// duplicateByMarks returns the index of a slice that starts where an earlier one does, in
// memory of the allocator, and the index of that one; 0 and 0 if there is none. Each
// address sets a bit of marks, whose length is a power of two; where the bit is set
// already, the address is compared with all before.
func (a *Allocator) duplicateByMarks(bs [][]byte, marks []uint64) (again, first int) {
	for i := range bs {
		hash := uint64(addressIn(bs, i)) * hashFactor
		word, mark := &marks[hash>>32&uint64(len(marks)-1)], uint64(1)<<(hash>>58)
		if *word&mark != 0 {
			if first, ok := a.earlier(bs, i); ok {
				return i, first
			}
		}
		*word |= mark
	}
	return 0, 0
}

// earlier returns the first slice that starts where the one with the given index does, if
// that is in memory of the allocator: empty slices may well be in a batch many times.
func (a *Allocator) earlier(bs [][]byte, index int) (first int, ok bool) {
	address := addressIn(bs, index)
	for i := range bs[:index] {
		if addressIn(bs, i) == address {
			return i, a.Owns(bs[index])
		}
	}
	return 0, false
}

// slotTables are tables that are not in use: of 1 plus the index of a slice, 0 for none.
var slotTables = sync.Pool{New: func() any { return new([]uint32) }}

// duplicateBySlots is duplicateByMarks for any number of slices, with a table of the
// addresses.
func (a *Allocator) duplicateBySlots(bs [][]byte) (again, first int) {
	table := slotTables.Get().(*[]uint32)
	defer slotTables.Put(table)
	shift := bits.Len(uint(slotsPerBlock*len(bs) - 1))
	size := 1 << shift
	if cap(*table) < size {
		*table = make([]uint32, size)
	}
	slots := (*table)[:size]
	clear(slots)
	for i := range bs {
		address := addressIn(bs, i)
		if !a.Owns(bs[i]) {
			continue // it may be empty
		}
		slot := uint64(address) * hashFactor >> (64 - shift)
		for slots[slot] != 0 {
			if first := int(slots[slot] - 1); addressIn(bs, first) == address {
				return i, first
			}
			slot = (slot + 1) % uint64(size)
		}
		slots[slot] = uint32(i + 1)
	}
	return 0, 0
}
