//go:build amd64 || arm64

package rseqcs

import (
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// TestDrainStopsWorldForFallbackUnderWay drains from within each operation of a
// thread that cannot run sections, and again when it is over: the first drain stops
// the world, later ones do not.
func TestDrainStopsWorldForFallbackUnderWay(t *testing.T) {
	replaceRun(t)
	if !sections || Fence() != nil {
		return // every drain stops the world
	}
	realStop, stops := stopTheWorld, 0
	defer func() { stopTheWorld = realStop }()
	stopTheWorld = func() { stops++; realStop() }
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		if !rseq.EnsureThread() {
			t.Error("the thread cannot register")
			return
		}
		unregister(t)
		checkFallbacks(t, &stops)
	}()
	<-done
}

func checkFallbacks(t *testing.T, stops *int) {
	stack, err := NewStack("fallback", []Capacity{{4, 4}})
	if err != nil {
		t.Error(err)
		return
	}
	defer stack.Close()
	drain := func() (stopped int) {
		before := *stops
		stack.Drain(func(int, []unsafe.Pointer) {})
		return *stops - before
	}
	kernelFence = func() error {
		atomic.AddInt32(&stack.onPs, 1) // a thread falls back meanwhile
		return rseq.FenceOnce()
	}
	defer func() { kernelFence = rseq.FenceOnce }()
	if n := drain(); n != 1 {
		t.Errorf("a fallback began during the fence: the world is stopped %d times, want 1", n)
	}
	atomic.StoreInt32(&stack.onPs, 0)
	kernelFence = rseq.FenceOnce
	if n := drain(); n != 0 {
		t.Errorf("before the first fallback: a drain stops the world %d times", n)
	}
	on, during := pinned, 0
	pinned.pop = func(base unsafe.Pointer, class, carried uintptr) (unsafe.Pointer, uintptr, uintptr) {
		during = drain()
		return on.pop(base, class, carried)
	}
	pinned.push = func(base unsafe.Pointer, class uintptr, object, carried unsafe.Pointer) (uintptr, uintptr, unsafe.Pointer, unsafe.Pointer) {
		during = drain()
		return on.push(base, class, object, carried)
	}
	pinned.popBatch = func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr {
		during = drain()
		return on.popBatch(base, class, into, count)
	}
	pinned.pushBatch = func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr {
		during = drain()
		return on.pushBatch(base, class, from, count)
	}
	object, array := unsafe.Pointer(new(token)), make([]unsafe.Pointer, 2)
	for name, operate := range map[string]func(){
		"Pop":       func() { stack.Pop(0) },
		"Push":      func() { stack.Push(0, object) },
		"PopBatch":  func() { stack.PopBatch(0, array) },
		"PushBatch": func() { stack.PushBatch(0, []unsafe.Pointer{object}) },
	} {
		during = -1
		operate()
		if during != 1 {
			t.Errorf("%s: a drain meanwhile stops the world %d times, want 1", name, during)
		}
		if n := drain(); n != 0 {
			t.Errorf("%s: a drain afterwards stops the world %d times, want 0", name, n)
		}
	}
}
