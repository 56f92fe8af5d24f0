package rseqcs

import (
	"runtime"
	"testing"
	"unsafe"
)

// replaceRun lets a test put its own operations between a Stack and the sections.
func replaceRun(t *testing.T) (before operations) {
	prepare()
	before, beforePinned := run, pinned
	t.Cleanup(func() { run, pinned = before, beforePinned })
	return before
}

// TestSetUpByOthers: it does not matter who has set a class up, nor that the thread
// has come to places where nobody has. There is room, so nothing is full.
func TestSetUpByOthers(t *testing.T) {
	for _, moves := range []int{0, 1, pushTries - 1} {
		before := replaceRun(t)
		stack, err := NewStack("by others", []Capacity{{4, 4}, {4, 4}})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		unset := func() bool { calls++; return calls <= 1+moves } // where nobody has set it up
		run.setHeader = func(base unsafe.Pointer, class uintptr, array unsafe.Pointer, value uint64) uintptr {
			before.setHeader(base, class, array, value) // somebody else is first
			return before.setHeader(base, class, array, value)
		}
		run.push = func(base unsafe.Pointer, class uintptr, object, carried unsafe.Pointer) (uintptr, uintptr, unsafe.Pointer, unsafe.Pointer) {
			if unset() {
				return unserved, class, object, carried
			}
			return before.push(base, class, object, carried)
		}
		run.pushBatch = func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr {
			if unset() {
				return unserved
			}
			return before.pushBatch(base, class, from, count)
		}
		objects := make([]token, 4)
		array := []unsafe.Pointer{unsafe.Pointer(&objects[1]), unsafe.Pointer(&objects[2]), unsafe.Pointer(&objects[3])}
		outcome := stack.Push(0, unsafe.Pointer(&objects[0]))
		calls = 0
		if n := stack.PushBatch(1, array); outcome != Pushed || n != len(array) {
			t.Errorf("after %d moves: push %d, and %d of %d at once", moves, outcome, n, len(array))
		}
		if a, b := len(stack.contents(0)), len(stack.contents(1)); a != 1 || b != len(array) {
			t.Errorf("after %d moves: %d and %d objects", moves, a, b)
		}
		run = before
		if err := stack.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFreshClassTakesABatch: what comes first to a class is a batch.
func TestFreshClassTakesABatch(t *testing.T) {
	stack, err := NewStack("fresh class", []Capacity{{4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	objects := make([]token, 2)
	array := []unsafe.Pointer{unsafe.Pointer(&objects[0]), unsafe.Pointer(&objects[1])}
	if n := stack.PushBatch(0, array); n != len(array) || len(stack.contents(0)) != n {
		t.Errorf("%d of %d were pushed", n, len(array))
	}
}

// TestFullIsNoSlowPath: a class that is set up and has no room is full at once.
func TestFullIsNoSlowPath(t *testing.T) {
	before := replaceRun(t)
	stack, err := NewStack("full", []Capacity{{0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	for index := range stack.vcpuSlabs + stack.pSlabs {
		c := stack.classes[0]
		*headerAt(stack.slab(index), 0) = header{c.begin, c.first}
	}
	object := unsafe.Pointer(new(token))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stack.Push(0, object) // prepares the thread
	slow := 0
	run.setHeader = func(base unsafe.Pointer, class uintptr, array unsafe.Pointer, value uint64) uintptr {
		slow++
		return before.setHeader(base, class, array, value)
	}
	outcome, n := stack.Push(0, object), stack.PushBatch(0, []unsafe.Pointer{object})
	if outcome != Full || n != 0 {
		t.Errorf("push %d, and %d at once", outcome, n)
	}
	if slow > 0 {
		t.Errorf("%d of 2 were served by the slow path", slow)
	}
}

// TestArrayMoves: the array of a caller is on its stack, which moves when it has to
// grow, here within the operations that come before the one that works.
func TestArrayMoves(t *testing.T) {
	before := replaceRun(t)
	stack, err := NewStack("array", []Capacity{{4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	calls, last := 0, uintptr(0)
	run.setHeader = func(base unsafe.Pointer, class uintptr, array unsafe.Pointer, value uint64) uintptr {
		deepen(400)
		return before.setHeader(base, class, array, value)
	}
	run.pushBatch = func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr {
		last = uintptr(from)
		if calls++; calls == 1 {
			return unserved
		}
		return before.pushBatch(base, class, from, count)
	}
	done := make(chan struct{})
	go func() { // with a stack that is still small
		defer close(done)
		objects := [2]token{}
		array := [...]unsafe.Pointer{unsafe.Pointer(&objects[0]), unsafe.Pointer(&objects[1])}
		at := uintptr(unsafe.Pointer(&array))
		n := stack.PushBatch(0, array[:])
		now := uintptr(unsafe.Pointer(&array))
		if n != len(array) || calls != 2 || at == now {
			t.Errorf("%d pushed in %d calls, the array was at %#x and is at %#x", n, calls, at, now)
		}
		if last != now {
			t.Errorf("PushBatch read the array at %#x, it is at %#x", last, now)
		}
	}()
	<-done
}

// deepen uses so many KiB of stack.
//
//go:noinline
func deepen(kib int) (sum byte) {
	var frame [1024]byte
	frame[kib%len(frame)] = byte(kib)
	if kib > 0 {
		sum = deepen(kib - 1)
	}
	return sum + frame[(kib+1)%len(frame)]
}
