package rseqcs

import (
	"testing"
	"unsafe"
)

// TestIdle looks at magazines that change and at some that do not.
func TestIdle(t *testing.T) {
	for range 100 {
		if onOneVCPU(t, func() { lookForIdle(t) }) {
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU")
}

func lookForIdle(t *testing.T) {
	stack, err := NewStack("idle", []Capacity{{4, 40}, {4, 40}, {4, 40}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	var objects [40]token
	slab := stack.Here()
	push := func(class, count int) {
		for i := range count {
			if stack.Push(class, unsafe.Pointer(&objects[i])) == Full {
				stack.Grow(class, 4)
				stack.Push(class, unsafe.Pointer(&objects[i]))
			}
		}
	}
	idle := stack.NewIdle()
	push(0, 3)
	push(1, 10)
	first, second := idle.Look(2), idle.Look(2)
	stack.Pop(0)
	if third := idle.Look(2); stack.Here() == slab && (first != 0 || second != 0 || third != 10) {
		t.Errorf("%d, %d and %d objects are idle, want 0, 0 and 10", first, second, third)
	}
	full := stack.Grow(1, 1000) // room that Drain takes back
	var taken [3]int
	idle.Drain(2, func(class int, objects []unsafe.Pointer) { taken[class] += len(objects) })
	if stack.Here() != slab {
		return // the caller repeats
	}
	if taken != [3]int{0, 10, 0} || stack.Len(slab, 0) != 2 || stack.Len(slab, 1) != 0 {
		t.Errorf("taken %v, %d and %d left", taken, stack.Len(slab, 0), stack.Len(slab, 1))
	}
	push(1, 4)
	if outcome := stack.Push(1, unsafe.Pointer(&objects[30])); full && outcome != Full && stack.Here() == slab {
		t.Errorf("a fifth object: %d, there is room for 4", outcome)
	}
	if err := stack.checkInvariants(); err != nil {
		t.Error(err)
	}
}
