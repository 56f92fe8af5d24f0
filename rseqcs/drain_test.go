package rseqcs

import (
	"testing"
	"unsafe"
)

// TestDrainTakesAll fills classes with more than one batch and drains them.
func TestDrainTakesAll(t *testing.T) {
	const room = 3*drainBatch + 5
	stack, err := NewStack("drained", []Capacity{{room, room}, {0, 0}, {room, room}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	objects := make([]token, 2*room)
	class := func(index int) int { return index % 2 * 2 }
	pushed := 0
	for index := range objects {
		if stack.Push(class(index), unsafe.Pointer(&objects[index])) == Pushed {
			pushed++
		}
	}
	if pushed < room {
		t.Fatalf("%d of %d were pushed", pushed, len(objects))
	}
	base, seen := uintptr(unsafe.Pointer(&objects[0])), make(map[uintptr]bool)
	stack.Drain(func(got int, batch []unsafe.Pointer) {
		if len(batch) == 0 || len(batch) > drainBatch {
			t.Errorf("a batch of %d", len(batch))
		}
		if outcome, n := stack.Push(0, batch[0]), stack.PushBatch(0, batch); outcome != Full || n != 0 {
			t.Errorf("while it is drained: push %d, and %d at once", outcome, n)
		}
		for _, object := range batch {
			index := (uintptr(object) - base) / unsafe.Sizeof(token{})
			if class(int(index)) != got || seen[index] {
				t.Errorf("object %d of class %d comes as one of class %d; before: %v", index, class(int(index)), got, seen[index])
			}
			seen[index] = true
		}
	})
	if len(seen) != pushed {
		t.Errorf("%d were taken, %d pushed", len(seen), pushed)
	}
	if stack.Push(0, unsafe.Pointer(&objects[0])) != Pushed {
		t.Error("nothing can be pushed afterwards")
	}
}
