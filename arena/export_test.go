package arena

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// openHeap returns a heap that the test closes.
func openHeap(t testing.TB, reserve, limit int64) *Heap {
	t.Helper()
	h := new(Heap)
	if err := h.Open(Config{Name: "test", Reserve: reserve, Budget: NewBudget("test", nil, limit, 0)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// newSpanTable returns records for pages of a range that need not exist.
func newSpanTable(t testing.TB, pages uint32) *spanTable {
	t.Helper()
	table := new(spanTable)
	if err := table.reserve(uintptr(pages), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.memory.Unmap(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func reserveRange(t testing.TB, size uintptr) osmem.Range {
	t.Helper()
	memory, err := osmem.Reserve(roundUp(size), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := memory.Unmap(); err != nil {
			t.Error(err)
		}
	})
	return memory
}

// newPageHeap returns a page heap over a range of its own, without a Heap.
// Numbers are pages.
func newPageHeap(t testing.TB, pages uint32, limit int64) *pageHeap {
	t.Helper()
	h := new(pageHeap)
	h.open(newSpanTable(t, pages), NewBudget("test", nil, limit<<pageShift, 0), reserveRange(t, uintptr(pages)<<pageShift), 0)
	if err := h.spans.back(firstPage + 1); err != nil {
		t.Fatal(err)
	}
	return h
}

// checkInvariants checks a page heap whose budget no other charges.
func (h *pageHeap) checkInvariants() error {
	if err := h.checkSpans(); err != nil {
		return err
	}
	return h.budget.checkCharged(h.used + h.resident)
}

// bytesOf returns the memory of a run of pages.
func (h *pageHeap) bytesOf(first, pages uint32) []byte {
	return h.memory.Bytes(uintptr(first)<<pageShift, uintptr(pages)<<pageShift)
}

// bytesAt returns the memory of a block.
func bytesAt(block unsafe.Pointer, size int) []byte { return unsafe.Slice((*byte)(block), size) }

// mustHold fails the test where an invariant does not hold.
func mustHold(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("invariant: %v", err)
	}
}
