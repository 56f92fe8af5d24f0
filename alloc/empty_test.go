package alloc

import (
	"testing"
	"unsafe"
)

// emptySlices are slices of length 0 that lie in no allocator's memory.
func emptySlices() map[string][]byte {
	var array [64]byte
	full := make([]byte, 5)
	return map[string][]byte{
		"nil":                 nil,
		"literal":             {},
		"capacity 10":         make([]byte, 0, 10),
		"capacity of a class": make([]byte, 0, 104),
		"capacity of a large": make([]byte, 0, 1<<20),
		"end of a slice":      full[5:],
		"middle of a slice":   full[3:3],
		"start of an array":   array[:0],
		"end of an array":     array[64:],
		"on the stack":        array[8:8],
		"in a global":         unsafe.Slice((*byte)(unsafe.Pointer(&emptyBlock)), 16)[8:8],
		"a string's":          unsafe.Slice(unsafe.StringData("text"), 4)[:0],
	}
}

// TestFreeIgnoresEmptySlices frees slices of length 0, whatever their capacity and
// address are, by all calls that free.
func TestFreeIgnoresEmptySlices(t *testing.T) {
	a, other := open(t, Options{}), open(t, Options{})
	block := must(t)(a.Alloc(100))
	for name, b := range emptySlices() {
		t.Run(name, func(t *testing.T) {
			a.Free(b)
			FreeSlice(a, b)
			if cap(b) >= 16 {
				FreeSlice(a, unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), cap(b)/2)[:0])
			}
			a.FreeBatch([][]byte{b, must(t)(a.Alloc(100)), b, must(t)(a.Alloc(1 << 20)), b, b})
			if a.UsableSize(b) != 0 || a.Owns(b) {
				t.Errorf("%d usable bytes, owned: %t", a.UsableSize(b), a.Owns(b))
			}
			for _, realloc := range []func([]byte, int) ([]byte, error){a.Realloc, a.ReallocUninit} {
				for _, n := range []int{0, 8, 100, 300_000} {
					moved := must(t)(realloc(b, n))
					if len(moved) != n || moved == nil || n > 0 && !a.Owns(moved) {
						t.Errorf("Realloc to %d bytes: length %d", n, len(moved))
					}
					a.Free(moved)
				}
			}
			checkQuiet(t, a, cap(block))
			other.Free(b)
		})
	}
	a.Free(block)
	checkQuiet(t, a, 0)
}

// TestFreeTakesEmptySlicesOfBlocks frees blocks by slices of length 0 that start
// where the block starts, and refuses those that start elsewhere in an allocator's
// memory.
func TestFreeTakesEmptySlicesOfBlocks(t *testing.T) {
	a, other := open(t, Options{}), open(t, Options{})
	for _, n := range []int{100, 300_000} {
		for _, cut := range []func(b []byte) []byte{
			func(b []byte) []byte { return b[:0] },
			func(b []byte) []byte { return b[:0:0] },
			func(b []byte) []byte { return b[:cap(b)][cap(b):] }, // in Go it points to the start
		} {
			a.Free(cut(must(t)(a.Alloc(n))))
			checkQuiet(t, a, 0)
		}
		s, err := MakeSlice[uint32](a, 3, n)
		if err != nil {
			t.Fatal(err)
		}
		FreeSlice(a, s[:0])
		checkQuiet(t, a, 0)
		b := must(t)(a.Alloc(n))
		size := cap(b)
		if n > 256<<10 {
			size = 0
		}
		mustMisuse(t, a, MisuseError{Op: "Free", Addr: addressOf(b) + 8, Size: size}, func() { a.Free(b[8:8]) })
		mustMisuse(t, a, MisuseError{Op: "Realloc", Addr: addressOf(b) + 8, Size: size}, func() { a.Realloc(b[8:8], 10) })
		mustMisuse(t, other, MisuseError{Op: "Free", Addr: addressOf(b)}, func() { other.Free(b[:0]) })
		a.Free(b)
	}
	checkQuiet(t, a, 0)
}
