//go:build !vcpualloc_gomem

package alloc

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// residentBytes asks the kernel how much of a block takes memory.
func residentBytes(t *testing.T, b []byte) (resident int) {
	t.Helper()
	page := unix.Getpagesize()
	there := make([]byte, (cap(b)+page-1)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(cap(b)), uintptr(unsafe.Pointer(unsafe.SliceData(there)))); errno != 0 {
		t.Fatal(errno)
	}
	for _, flags := range there {
		resident += int(flags&1) * page
	}
	return resident
}

// TestZeroedLargeTakesNoMemory allocates zeroed blocks again whose memory was never
// touched, was returned, or was written to here and there: nothing is touched but what was
// written to and is still there.
func TestZeroedLargeTakesNoMemory(t *testing.T) {
	const size, writtenTo = 192 << 20, 100
	for _, retain := range []int64{0, 4 << 20, -1} {
		a := open(t, Options{Reserve: 512 << 20, Retain: retain, HugePages: HugeNever})
		alloc := func(n int, want int) []byte {
			t.Helper()
			b, err := a.Alloc(n)
			if err != nil {
				t.Fatal(err)
			}
			if got := residentBytes(t, b); got > want {
				t.Errorf("retain %d: of a zeroed block of %d bytes %d are resident, want at most %d", retain, n, got, want)
			}
			return b
		}
		page := unix.Getpagesize()
		b := alloc(size, 0)
		a.Free(b)
		b = alloc(size, 0)
		for i := range writtenTo {
			b[i*(size/writtenTo)] = 1
		}
		a.Free(b)
		b = alloc(size, writtenTo*page)
		for i := range writtenTo {
			if b[i*(size/writtenTo)] != 0 {
				t.Fatalf("retain %d: byte %d of a zeroed block is not zero", retain, i*(size/writtenTo))
			}
		}
		b, err := a.Realloc(b, size+size/4) // grows where it is, or moves
		if err != nil {
			t.Fatal(err)
		}
		if got, want := residentBytes(t, b), size+writtenTo*page; got > want {
			t.Errorf("retain %d: of a block that has grown %d bytes are resident, want at most %d", retain, got, want)
		}
		a.Free(b)
	}
}

// TestZeroedLargeIsZero writes to large blocks at random, frees, trims, extends and moves
// them: what Alloc and Realloc say is zero is.
func TestZeroedLargeIsZero(t *testing.T) {
	random := steady.Random(t)
	a := open(t, Options{Retain: 8 << 20, Reserve: 256 << 20})
	var blocks [][]byte
	scribble := func(random *rand.Rand, b []byte) {
		for range random.IntN(50) {
			from := random.IntN(len(b))
			for i := range b[from:min(len(b), from+random.IntN(10_000))] {
				b[from+i] = 0xa5
			}
		}
	}
	checkZero := func(b []byte) {
		t.Helper()
		if at := firstOther(b, 0); at >= 0 {
			t.Fatalf("byte %d of %d is not zero", at, len(b))
		}
	}
	for range 200 {
		switch n := 256<<10 + 1 + random.IntN(6<<20); {
		case len(blocks) < 8 || random.IntN(3) == 0:
			b, err := a.Alloc(n)
			if err != nil {
				t.Fatal(err)
			}
			checkZero(b[:cap(b)])
			scribble(random, b[:cap(b)])
			blocks = append(blocks, b)
		case random.IntN(2) == 0:
			i := random.IntN(len(blocks))
			before := len(blocks[i])
			b, err := a.Realloc(blocks[i], n)
			if err != nil {
				t.Fatal(err)
			}
			if n > before {
				checkZero(b[before:])
			}
			scribble(random, b)
			blocks[i] = b
		case random.IntN(8) == 0:
			if _, err := a.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
		default:
			i := random.IntN(len(blocks))
			a.Free(blocks[i])
			blocks[i] = blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
		}
	}
	for _, b := range blocks {
		a.Free(b)
	}
}

// TestReallocCopiesBeforeItFrees moves a large block whose memory goes back to the system
// when it is freed.
func TestReallocCopiesBeforeItFrees(t *testing.T) {
	const size = 1 << 20
	a := open(t, Options{Retain: 1})
	b := must(t)(a.Alloc(size))
	behind := must(t)(a.AllocUninit(size)) // b cannot grow where it is
	fill(b, 1)
	moved := must(t)(a.Realloc(b, 2*size))
	if unsafe.SliceData(moved) == unsafe.SliceData(b) {
		t.Fatal("the block has grown where it was")
	}
	if at := firstOther(moved[:size], 1); at >= 0 {
		t.Errorf("byte %d was not copied", at)
	}
	a.Free(moved)
	a.Free(behind)
}
