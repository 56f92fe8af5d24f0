package rseq

import (
	"testing"
	"unsafe"
)

// TestInheritedArea works on a thread whose thread pointer names an area of another M,
// as clone(2) leaves it: it has no area until it registers one of its own.
func TestInheritedArea(t *testing.T) {
	if needKernel(t).Owner == Libc {
		return // whose thread pointers are each thread's own
	}
	onFreshThread(t, func() {
		if !EnsureThread() {
			t.Error("the thread cannot register")
			return
		}
		// The kernel would refuse a second area.
		area := threadWord()
		const unregister = 1
		if errno := rawRseqWith(area, uintptr(Find().Registered), unregister, Signature); errno != 0 {
			t.Errorf("unregister: %v", errno)
			return
		}
		owner := (*unsafe.Pointer)(unsafe.Add(address(area), OffsetOwner))
		*owner = unsafe.Pointer(new(int))
		if word := threadWord(); word != 0 || threadPointer() != area {
			t.Errorf("the area of another M at %#x is taken for that of this thread: %#x", threadPointer(), word)
		}
		for _, offset := range []uintptr{OffsetCPUID, OffsetNodeID, OffsetMMCID} {
			if id := Field(offset); id != NoID {
				t.Errorf("offset %d: %d of another M", offset, id)
			}
		}
		if first, second := FieldPair(OffsetNodeID); first != NoID || second != NoID {
			t.Errorf("a pair of another M: %d and %d", first, second)
		}
		if !EnsureThread() {
			t.Error("the thread cannot register an area of its own")
		}
		if word := threadWord(); word == area || word == 0 {
			t.Errorf("it has the area %#x, that of another M", word)
		}
		if int32(Field(OffsetCPUID)) < 0 {
			t.Error("the kernel has not filled in the area")
		}
	})
	threads.check(t)
}
