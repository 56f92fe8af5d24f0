package rseqcs

import (
	"testing"
	"unsafe"
)

// TestCapacityEnds: a class that nobody has used has no capacity to lose, and one at
// its maximum gets no more.
func TestCapacityEnds(t *testing.T) {
	const initial, most = 4, 8
	for range 100 {
		ok := onOneVCPU(t, func() {
			stack, err := NewStack("ends", []Capacity{{initial, most}})
			if err != nil {
				t.Fatal(err)
			}
			defer stack.Close()
			id := stack.Here()
			check := func(what string, got, want any, capacity int) {
				t.Helper()
				now, _ := stack.Capacity(id, 0)
				if stack.Here() == id && (got != want || now != capacity) {
					t.Errorf("%s: %v, want %v; room for %d, want %d", what, got, want, now, capacity)
				}
			}
			check("less of nothing", stack.Shrink(id, 0, 1), 0, 0)
			check("more of nothing", stack.Grow(0, 1), false, 0)
			check("the first object", stack.Push(0, unsafe.Pointer(new(token))), Pushed, initial)
			check("less than at the start", stack.Shrink(id, 0, 1), 0, initial)
			check("more than there can be", stack.Grow(0, most), true, most)
			check("more than the most", stack.Grow(0, 1), false, most)
			check("a bit less", stack.Shrink(id, 0, 1), 1, most-1)
			check("less than at the start again", stack.Shrink(id, 0, most), most-1-initial, initial)
		})
		if ok || t.Failed() {
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU")
}
