package alloc

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
)

// testReserve is the address space of a test's allocator, in bytes: what the
// memory of the Go heap (build tag vcpualloc_gomem) can stand in for.
const testReserve = 64 << 20

// open returns an allocator that the test closes, unless it was closed.
func open(t testing.TB, o Options) *Allocator {
	t.Helper()
	if o.Reserve == 0 {
		o.Reserve = testReserve
	}
	if o.ReleaseDelay == 0 {
		o.ReleaseDelay = -1 // what is cached stays where the test expects it
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.closed {
			return
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// must returns a block, of which there has to be one.
func must(t testing.TB) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// checkBlock checks length and capacity of a block, and that it is zero.
func checkBlock(t testing.TB, a *Allocator, b []byte, n int) {
	t.Helper()
	if len(b) != n || cap(b) != a.UsableSize(b) || !a.Owns(b) {
		t.Fatalf("%d bytes: length %d, capacity %d, usable %d, owned: %t", n, len(b), cap(b), a.UsableSize(b), a.Owns(b))
	}
	if i := firstOther(b[:cap(b)], 0); i >= 0 {
		t.Fatalf("%d bytes: byte %d of %d is not zero", n, i, cap(b))
	}
}

// firstOther returns the index of the first byte that is not value, or -1.
func firstOther(b []byte, value byte) int {
	if len(b) == 0 || b[0] == value && bytes.Equal(b[:len(b)-1], b[1:]) {
		return -1
	}
	for i := range b {
		if b[i] != value {
			return i
		}
	}
	return -1
}

func fill(b []byte, value byte) {
	for i := range b {
		b[i] = value
	}
}

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// checkQuiet checks an allocator that nobody uses, and how many bytes are live.
func checkQuiet(t testing.TB, a *Allocator, live int) {
	t.Helper()
	if err := a.heap.CheckInvariants(); err != nil {
		t.Fatalf("invariant: %v", err)
	}
	s := a.Stats()
	if s.Live != int64(live) {
		t.Fatalf("%d bytes live, want %d", s.Live, live)
	}
	if sum := s.Live + s.CachedVCPU + s.CachedTransfer + s.CachedCentral + s.Tails + s.PageHeapFree; s.Backed+s.Gone != sum {
		t.Fatalf("%d bytes backed and gone, but the parts make %d", s.Backed+s.Gone, sum)
	}
	if a.budget.Below() == 0 && s.Charged != s.Backed+s.GoneCharged {
		t.Fatalf("%d bytes backed and %d gone that count, but %d charged", s.Backed, s.GoneCharged, s.Charged)
	}
	if s.Limit > 0 && s.Backed > s.Limit {
		t.Fatalf("%d bytes backed, above the limit of %d", s.Backed, s.Limit)
	}
}

// panicOf returns what the call panics with, or nil.
func panicOf(call func()) (value any) {
	defer func() { value = recover() }()
	call()
	return nil
}

// mustMisuse checks that the call panics with want, whatever the words are, and
// that nothing changes by it.
func mustMisuse(t testing.TB, a *Allocator, want MisuseError, call func()) {
	t.Helper()
	before := a.Stats()
	value := panicOf(call)
	got, ok := value.(*MisuseError)
	if !ok {
		t.Fatalf("panic with %v, want a *MisuseError", value)
	}
	if got.Op != want.Op || got.Addr != want.Addr || got.Size != want.Size || got.Reason == "" || got.Error() == "" {
		t.Fatalf("%+v, want %+v", *got, want)
	}
	if after := a.Stats(); after != before {
		t.Fatalf("the figures have changed: %+v, before %+v", after, before)
	}
	if !a.closed {
		if err := a.heap.CheckInvariants(); err != nil {
			t.Fatalf("invariant: %v", err)
		}
	}
}

// sizes are the borders of classes, and of what is no class any more, in bytes.
func sizes() (list []int) {
	for class := 1; class < arena.ClassCount; class++ {
		size := arena.ClassSize(uint8(class))
		list = append(list, size-1, size, size+1)
	}
	list = append(list, 2, 3, 300_000, 1<<20-1, 1<<20, 1<<20+1, 3<<20)
	return list
}
