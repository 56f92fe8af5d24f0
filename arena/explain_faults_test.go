//go:build vcpualloc_faults && linux && !vcpualloc_gomem

package arena

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// heldLocks returns the names of the locks of a heap that somebody holds.
func heldLocks(h *Heap) (held []string) {
	type lock interface {
		TryLock() bool
		Unlock()
	}
	look := func(name string, l lock) {
		if !l.TryLock() {
			held = append(held, name)
			return
		}
		l.Unlock()
	}
	look("draining", &h.draining)
	look("rescue", &h.rescue.mu)
	for _, n := range h.nodes {
		look("page heap", &n.pages.mu)
		if n.pages.huge != nil {
			look("advising", &n.pages.huge.advising)
		}
		for class := range n.central {
			look("central list", &n.central[class].mu)
		}
		for class := range n.transfer {
			look("transfer cache", &n.transfer[class].mu)
		}
	}
	return held
}

// TestNoFileIsReadUnderALock lets calls of the system fail in all that a heap does.
// Causes are looked for in files, which must not happen under any lock of the heap. Under
// the page heap's there is no call but the one that backs its range.
func TestNoFileIsReadUnderALock(t *testing.T) {
	var h Heap
	fails, explained, calls := false, 0, make(map[string]int)
	fault.Set(func(call string) error {
		held := heldLocks(&h)
		calls[call]++
		if call == osmem.ExplainCall {
			if explained++; len(held) > 0 {
				t.Errorf("files are read while these are locked: %v", held)
			}
			return nil
		}
		for _, name := range held {
			if name == "page heap" && call != "mprotect" {
				t.Errorf("%s is called under the lock of the page heap", call)
			}
		}
		switch {
		case !fails:
			return nil
		case call == "madvise":
			return unix.EAGAIN
		default:
			return unix.ENOMEM
		}
	})
	defer fault.Set(nil)
	mustHold(t, h.Open(Config{Name: "test", Reserve: MinReserve, Budget: NewBudget("test", nil, 0, 0), Huge: HugeCollapse}))
	class := ClassOf(4096)
	var blocks, objects []unsafe.Pointer
	fill := func(failing bool) {
		fails = failing
		var err, largeError error
		for err == nil || largeError == nil {
			var object, block unsafe.Pointer
			if object, err = h.Alloc(class); err == nil {
				objects = append(objects, object)
			}
			if block, _, largeError = h.AllocLarge(300<<10, 1); largeError == nil {
				blocks = append(blocks, block)
			}
			if !failing && len(blocks) > 4 {
				return
			}
		}
		explained = 0
		h.explanations = explanations{}
		for _, err := range []error{h.Explain(err), h.Explain(largeError)} {
			if !errors.Is(err, ErrNoMemory) || !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), ": mprotect of ") {
				t.Errorf("the error of a call that failed: %v", err)
			}
		}
		if explained == 0 {
			t.Error("nothing was explained")
		}
	}
	fill(false)
	fill(true)
	for _, block := range blocks {
		h.FreeLarge(block)
	}
	for i, object := range objects {
		if i%2 == 0 {
			h.Free(class, object)
		}
	}
	explained = 0
	if _, err := h.Trim(always); !errors.Is(err, unix.EAGAIN) || explained == 0 {
		t.Errorf("Trim: %v; %d explanations", err, explained)
	}
	fails = false
	if _, err := h.Trim(always); err != nil {
		t.Error(err)
	}
	mustHold(t, h.CheckInvariants())
	fails = true
	if err := h.Close(); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("Close: %v", err)
	}
	fails = false
	mustHold(t, h.Close())
	for _, call := range []string{"mmap", "munmap", "mprotect", "madvise", osmem.ExplainCall} {
		if calls[call] == 0 {
			t.Errorf("no %s was seen", call)
		}
	}
}

// TestFaultsAreExplainedRarely: of errors that come one after the other a heap explains one
// in a while, and one goroutine's at a time.
func TestFaultsAreExplainedRarely(t *testing.T) {
	explained := 0
	fault.Set(func(call string) error {
		if call == osmem.ExplainCall {
			explained++
		}
		return nil
	})
	defer fault.Set(nil)
	var h Heap
	explain := func(want int, why string) {
		t.Helper()
		before := explained
		h.Explain(noMemory{&osmem.CallError{Call: "mprotect", Size: 1, Err: unix.ENOMEM}})
		if explained-before != want {
			t.Errorf("%s: %d explanations, want %d", why, explained-before, want)
		}
	}
	explain(1, "the first")
	if !h.explanations.next.After(time.Now().Add(-time.Minute)) {
		t.Errorf("the next one may be at %v", h.explanations.next)
	}
	h.explanations.next = time.Now().Add(time.Hour)
	explain(0, "right after one")
	h.explanations.next = time.Now().Add(-time.Hour)
	explain(1, "long after one")
	h.explanations.next = time.Time{}
	h.explanations.mu.Lock()
	explain(0, "while another goroutine explains")
	h.explanations.mu.Unlock()
	h.Explain(&LimitError{})
	explain(1, "behind an error of a limit")
}
