package rseqcs

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
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
	idle.Drain(2, func(class int, objects []unsafe.Pointer) {
		taken[class] += len(objects)
		if cap(objects) != len(objects) {
			t.Errorf("%d objects in room for %d: it grew while the slabs were stopped", len(objects), cap(objects))
		}
	})
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

// TestIdleDrainsWhatIsStill: of three magazines one has changed before the last look,
// one after it, and one not at all; that one is handed over, object by object, when
// everybody may work again.
func TestIdleDrainsWhatIsStill(t *testing.T) {
	for range 100 {
		if onOneVCPU(t, func() { drainIdle(t) }) {
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU")
}

func drainIdle(t *testing.T) {
	const initial, most, count, looks = 4, 40, 9, 2
	const early, late, still = 0, 1, 2 // classes
	stack, err := NewStack("still", []Capacity{{initial, most}, {initial, most}, {initial, most}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	here := stack.Here()
	check := func(what string, got, want int) {
		t.Helper()
		if got != want && stack.Here() == here {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	objects := make([]token, 3*count)
	want := make(map[unsafe.Pointer]bool)
	for i := range objects {
		class, object := i%3, unsafe.Pointer(&objects[i])
		if stack.Push(class, object) == Full {
			stack.Grow(class, most)
			stack.Push(class, object)
		}
		want[object] = class == still
	}
	taken := 0
	take := func(class int, objects []unsafe.Pointer) {
		for _, object := range objects {
			if class != still || !want[object] {
				check("an object that is not idle, or comes twice, of class", class, -1)
			}
			want[object] = false
			taken++
		}
		// Whoever gets them may use the stack.
		check("a push meanwhile", int(stack.Push(early, objects[0])), int(Pushed))
		stack.Pop(early)
	}
	idle := stack.NewIdle()
	check("idle at the first look", idle.Look(looks), 0)
	check("idle at the second look", idle.Look(looks), 0)
	idle.Drain(looks, take)
	check("taken before the last look", taken, 0)
	check("idle at the third look", idle.Look(looks), 3*count)
	stack.Pop(early)
	check("idle when one has changed", idle.Look(looks), 2*count)
	stack.Pop(late)
	fences, stopped := 0, true
	kernelFence = func() error {
		fences++
		stopped = stopped && *rowCount(stack.vcpus) == 0 && *rowCount(stack.ps) == 0
		return rseq.FenceOnce()
	}
	defer func() { kernelFence = rseq.FenceOnce }()
	idle.Drain(looks, take)
	check("taken", taken, count)
	if sections && (fences != fenceCalls || !stopped) {
		t.Errorf("%d calls of the kernel's fence, with all stopped: %t", fences, stopped)
	}
	check("left of what was still", stack.Len(here, still), 0)
	check("left of what changed early", stack.Len(here, early), count-1)
	check("left of what changed late", stack.Len(here, late), count-1)
	for i := range initial + 1 {
		want := Pushed
		if i == initial {
			want = Full
		}
		check("a push afterwards", int(stack.Push(still, unsafe.Pointer(&objects[i]))), int(want))
	}
	if err := stack.checkInvariants(); err != nil {
		t.Error(err)
	}
}

// TestIdleStaysStopped watches a long magazine while it is emptied: until all of it is
// taken, nobody else may work on the slabs.
func TestIdleStaysStopped(t *testing.T) {
	const room, rounds = 30_000, 20
	stack, err := NewStack("stopped", []Capacity{{room, room}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	memory := make([]uint64, room)
	objects := make([]unsafe.Pointer, room)
	for i := range objects {
		objects[i] = unsafe.Pointer(&memory[i])
	}
	seen := 0
	for range rounds {
		left := objects
		for n := 1; n > 0 && len(left) > 0; left = left[n:] {
			n = stack.PushBatch(0, left)
		}
		total, vcpus := stack.Slabs()
		longest := 0
		for slab := range total {
			if stack.Len(slab, 0) > stack.Len(longest, 0) {
				longest = slab
			}
		}
		count, full := rowCount(stack.vcpus), stack.Len(longest, 0)
		if longest >= vcpus {
			count = rowCount(stack.ps)
		}
		isHalf := func() bool { n := stack.Len(longest, 0); return n > 0 && n < full }
		var done atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			for !done.Load() {
				if !isHalf() {
					continue
				}
				seen++
				if atomic.LoadUint32(count) != 0 && isHalf() {
					t.Error("others may work on the slabs while a magazine is half empty")
					return
				}
			}
		})
		idle := stack.NewIdle()
		idle.Look(0)
		taken := 0
		idle.Drain(0, func(_ int, objects []unsafe.Pointer) { taken += len(objects) })
		done.Store(true)
		all.Wait()
		if taken != room-len(left) {
			t.Fatalf("%d objects of %d", taken, room-len(left))
		}
	}
	t.Logf("seen half empty %d times", seen)
}
