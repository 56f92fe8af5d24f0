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

// TestFenceCallsKernelTwice: the kernel may lose the abort of one call. A fence is
// counted once, and not at all if one of its calls fails.
func TestFenceCallsKernelTwice(t *testing.T) {
	defer func() { kernelFence = rseq.FenceOnce }()
	for _, row := range []struct {
		failing int // which call fails, counted from 1; 0 for none
		calls   int
		counted uint64
	}{{0, 2, 1}, {1, 1, 0}, {2, 2, 0}} {
		calls := 0
		kernelFence = func() error {
			if calls++; calls == row.failing {
				return errNoFence
			}
			return nil
		}
		before := ReadStats().Fences
		err := Fence()
		if counted := ReadStats().Fences - before; calls != row.calls || counted != row.counted || (err != nil) != (row.failing > 0) {
			t.Errorf("with call %d failing: %d calls, %d fences counted, error %v; want %d, %d", row.failing, calls, counted, err, row.calls, row.counted)
		}
	}
}

// TestTakersFenceTwice: whatever empties slabs of other vCPUs calls the kernel twice
// in a row when the counts are 0 and nothing is taken yet.
func TestTakersFenceTwice(t *testing.T) {
	if prepare(); !sections {
		return // nothing to fence
	}
	defer func() { kernelFence = rseq.FenceOnce }()
	const objects = 4
	for name, take := range map[string]func(*Stack, func(int, []unsafe.Pointer)){
		"Drain":      (*Stack).Drain,
		"Shut":       (*Stack).Shut,
		"Idle.Drain": func(s *Stack, give func(int, []unsafe.Pointer)) { i := s.NewIdle(); i.Look(0); i.Drain(0, give) },
	} {
		stack, err := NewStack("fenced", []Capacity{{objects, objects}})
		if err != nil {
			t.Fatal(err)
		}
		var held [objects]token
		for i := range held {
			if outcome := stack.Push(0, unsafe.Pointer(&held[i])); outcome != Pushed {
				t.Fatalf("push: %v", outcome)
			}
		}
		calls, taken := 0, 0
		kernelFence = func() error {
			calls++
			if left := len(stack.contents(0)); left != objects || *rowCount(stack.vcpus) != 0 || *rowCount(stack.ps) != 0 {
				t.Errorf("%s: at call %d: %d of %d objects, counts %d and %d", name, calls, left, objects, *rowCount(stack.vcpus), *rowCount(stack.ps))
			}
			return nil // this goroutine alone works on the stack
		}
		take(stack, func(_ int, objects []unsafe.Pointer) { taken += len(objects) })
		if calls != 2 || taken != objects {
			t.Errorf("%s: %d calls, %d objects taken; want 2, %d", name, calls, taken, objects)
		}
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	}
}

var errNoFence = errors.New("no fence")
