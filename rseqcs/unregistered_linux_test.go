//go:build amd64 || arm64

package rseqcs

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

//go:linkname threadWord github.com/vcpualloc/vcpualloc/internal/rseq.threadWord
func threadWord() uintptr

//go:linkname threadPointer github.com/vcpualloc/vcpualloc/internal/rseq.threadPointer
func threadPointer() uintptr

// unregister ends the registration of the running thread, for good.
func unregister(t *testing.T) {
	g := rseq.Find()
	area := threadWord()
	if g.Owner == rseq.Libc {
		area = threadPointer() + g.LibcOffset
	}
	const unregisterFlag = 1
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RSEQ, area, uintptr(g.Registered), unregisterFlag, signature, 0, 0); errno != 0 {
		t.Fatalf("unregister %#x: %v", area, errno)
	}
	if g.Owner == rseq.Self {
		// The kernel leaves ids behind, of which we say NoID where it refuses.
		for _, offset := range []uintptr{rseq.OffsetCPUID, rseq.OffsetMMCID} {
			*(*uint32)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&area)), offset)) = rseq.NoID
		}
	}
}

// TestUnregisteredThread works on a thread that cannot run sections: none of them
// takes effect there, and the stack serves it from the slabs of the Ps.
func TestUnregisteredThread(t *testing.T) { withoutSections(t, unregister) }

// withoutSections is TestUnregisteredThread with a way to lose the registration.
func withoutSections(t *testing.T, lose func(t *testing.T)) {
	if prepare(); !sections {
		return // all threads are such
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		if !rseq.EnsureThread() {
			t.Error("the thread cannot register")
			return
		}
		stack, err := NewStack("unregistered", []Capacity{{4, 4}, {4, 4}})
		if err != nil {
			t.Error(err)
			return
		}
		defer stack.Close()
		for id := range stack.vcpuSlabs {
			c := stack.classes[0]
			*slotAt(stack.slab(id), c.begin) = unsafe.Pointer(new(token))
			*headerAt(stack.slab(id), 0) = header{c.begin + slotSize, c.first}
		}
		lose(t)
		checkUnregistered(t, stack)
	}()
	<-done
}

// TestArrayMovesUnregistered is TestArrayMoves for PopBatch, which works twice only
// on a thread that was not prepared.
func TestArrayMovesUnregistered(t *testing.T) {
	before := replaceRun(t)
	if !sections {
		return // all threads are prepared
	}
	stack, err := NewStack("array", []Capacity{{4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	calls, last := 0, uintptr(0)
	run.popBatch = func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr {
		deepen(400)
		calls++
		return before.popBatch(base, class, into, count)
	}
	beforePinned := pinned
	pinned.popBatch = func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr {
		last = uintptr(into)
		calls++
		return beforePinned.popBatch(base, class, into, count)
	}
	done := make(chan struct{})
	go func() { // with a stack that is still small
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		if !rseq.EnsureThread() {
			t.Error("the thread cannot register")
			return
		}
		unregister(t)
		object := unsafe.Pointer(new(token))
		stack.Push(0, object)
		var array [2]unsafe.Pointer
		at := uintptr(unsafe.Pointer(&array))
		n := stack.PopBatch(0, array[:])
		now := uintptr(unsafe.Pointer(&array))
		if calls != 2 || at == now {
			t.Errorf("%d calls, the array was at %#x and is at %#x", calls, at, now)
		}
		// The goroutine may have another P now than at its push.
		if last != now || n == 1 && array[0] != object {
			t.Errorf("PopBatch wrote %d objects at %#x, the array is at %#x and holds %p", n, last, now, array[0])
		}
	}()
	<-done
}

func checkUnregistered(t *testing.T, stack *Stack) {
	object, array := unsafe.Pointer(new(token)), new([2]unsafe.Pointer)
	if got, _, _ := run.pop(stack.base, 0, 0); got != nil {
		t.Errorf("popped %p", got)
	}
	if got, _, _, _ := run.push(stack.base, 0, object, nil); got != unserved {
		t.Errorf("pushed: %d", got)
	}
	if n := run.popBatch(stack.base, 0, unsafe.Pointer(array), 2); n != 0 {
		t.Errorf("popped %d", n)
	}
	if n := run.pushBatch(stack.base, 0, unsafe.Pointer(array), 2); n != unserved {
		t.Errorf("pushed %d", n)
	}
	if run.setHeader(stack.base, 1, nil, 1) != kept {
		t.Error("a header is stored")
	}
	var c Counter
	before := ReadStats().Fallbacks
	c.Add(5)
	c.Add(6)
	if c.Value() != 11 {
		t.Errorf("sum %d, want 11", c.Value())
	}
	for id, cell := range c.vcpus {
		if id > 0 && cell.sum != 0 {
			t.Errorf("cell %d has %d", id, cell.sum)
		}
	}
	if outcome := stack.Push(1, object); outcome != Pushed {
		t.Errorf("push on the slabs of the Ps: %d", outcome)
	}
	for id := range stack.vcpuSlabs {
		if stack.Len(id, 0) != 1 || stack.Len(id, 1) != 0 {
			t.Errorf("slab %d has %d and %d objects, want 1 and 0", id, stack.Len(id, 0), stack.Len(id, 1))
		}
	}
	if n := ReadStats().Fallbacks - before; n != 3 {
		t.Errorf("%d fallbacks, want 3", n)
	}
	if id := vcpu.Current(); id < 0 || id >= vcpu.Max() {
		t.Errorf("the thread has the id %d of %d", id, vcpu.Max())
	}
	if stack.Here() < stack.vcpuSlabs {
		t.Errorf("slab %d is that of a vCPU", stack.Here())
	}
}

// TestFreshThread works on a thread that nobody has prepared.
func TestFreshThread(t *testing.T) {
	if prepare(); !sections {
		return // no thread is
	}
	stack, err := NewStack("fresh", []Capacity{{4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	done := make(chan struct{})
	for range 20 { // some of them are threads of before
		go func() {
			defer func() { done <- struct{}{} }()
			runtime.LockOSThread() // never unlocked: the thread ends
			before := ReadStats()
			fresh := rseq.Find().Owner == rseq.Self && threadWord() == 0
			stack.Push(0, unsafe.Pointer(new(token)))
			after := ReadStats()
			if after.Fallbacks != before.Fallbacks {
				t.Error("a thread that could register was sent to the slabs of the Ps")
			}
			if fresh && after.Registrations <= before.Registrations {
				t.Errorf("%d registrations, before %d", after.Registrations, before.Registrations)
			}
		}()
		<-done
	}
}

// TestFencesAreCounted, and those that fail are told.
func TestFencesAreCounted(t *testing.T) {
	defer func() { kernelFence = rseq.Fence }()
	before := ReadStats().Fences
	kernelFence = func() error { return nil }
	if err := Fence(); err != nil || ReadStats().Fences != before+1 {
		t.Errorf("%v, %d fences, before %d", err, ReadStats().Fences, before)
	}
	kernelFence = func() error { return errNoFence }
	if err := Fence(); err != errNoFence || ReadStats().Fences != before+1 {
		t.Errorf("%v, %d fences, before %d", err, ReadStats().Fences, before)
	}
}

var errNoFence = errors.New("no fence")
