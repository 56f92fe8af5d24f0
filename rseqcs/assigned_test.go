package rseqcs

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/race"
)

// TestSetHeaderIsAtomic sets a header by the operation in Go while another goroutine
// loads it. The slab is Go memory, so the race detector sees a store in two halves,
// which otherwise nothing shows on processors that keep stores in order.
func TestSetHeaderIsAtomic(t *testing.T) {
	if !race.Enabled {
		t.Skip("only the race detector tells")
	}
	ps := runtime.GOMAXPROCS(0)
	memory := make([]uint64, (-controlCount+ps*slabSize)/8)
	base := unsafe.Pointer(&memory[-controlCount/8])
	*rowCount(base) = uint32(ps)
	want := header{8, 16}
	const classes = MaxClasses // many, so that the detector catches at least one
	done := make(chan int)
	var over atomic.Bool
	go func() {
		found := 0
		for last := false; !last; {
			last = over.Load() // every header is set when this pass begins
			found = 0
			for index := range classes * ps {
				switch h := headerAt(slabAt(base, index%ps), uintptr(index/ps)).load(); h {
				case want:
					found++
				case header{}:
				default:
					t.Errorf("half a header: %+v", h)
				}
			}
		}
		done <- found
	}()
	for class := range classes {
		if setHeaderAssigned(base, uintptr(class), nil, uint64(want.current)|uint64(want.end)<<32) != stored {
			t.Error("the header is not stored")
		}
		runtime.Gosched()
	}
	over.Store(true)
	if found := <-done; found != classes {
		t.Errorf("%d headers are set, want %d", found, classes)
	}
}

// whileRead repeats an operation while another goroutine looks.
func whileRead(t *testing.T, rounds int, operate func(), look func() error) {
	t.Helper()
	var stop atomic.Bool
	result := make(chan error)
	go func() {
		var err error
		for err == nil && !stop.Load() {
			err = look()
		}
		stop.Store(true)
		result <- err
	}()
	for i := 0; i < rounds && !stop.Load(); i++ {
		operate()
	}
	stop.Store(true)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestShutHidesNoHalfHeader reads what slabs take while Shut releases their memory.
func TestShutHidesNoHalfHeader(t *testing.T) {
	const initial = 4
	for range 100 {
		stack, err := NewStack("released", []Capacity{{initial, initial}})
		if err != nil {
			t.Fatal(err)
		}
		total, _ := stack.Slabs()
		c := stack.classes[0]
		for slab := range total {
			headerAt(stack.slab(slab), 0).set(header{c.begin, c.first})
		}
		most := int64(total * (headerSize + initial*slotSize))
		whileRead(t, 1, func() { stack.Shut(func(int, []unsafe.Pointer) {}) }, func() error {
			if n := stack.Footprint(); n > most {
				return fmt.Errorf("%d bytes are in use, at most %d can be", n, most)
			}
			for slab := range total {
				if now, _ := stack.Capacity(slab, 0); now != 0 && now != initial {
					return fmt.Errorf("slab %d has room for %d objects, want 0 or %d", slab, now, initial)
				}
			}
			return nil
		})
		if err := stack.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCounterSumIsNeverTorn counts to and fro between two sums that differ in both
// halves while another goroutine reads them.
func TestCounterSumIsNeverTorn(t *testing.T) {
	if bits.UintSize == 64 {
		t.Skip("a sum is one word")
	}
	prepare()
	row := makeCells(rowOfPs())
	const rounds = 2_000_000
	whileRead(t, rounds, func() {
		addAssigned(unsafe.Pointer(&row[1]), -1)
		addAssigned(unsafe.Pointer(&row[1]), 1)
	}, func() error {
		for i := range min(len(row)-1, 2) {
			if sum := atomic.LoadInt64(&row[1+i].sum); sum < -rounds || sum > rounds {
				return fmt.Errorf("cell %d holds %d", i, sum)
			}
		}
		return nil
	})
}

// TestGoFormsTellUnset: the operations in Go say of a header that is not set up
// that they have not served, not that it is full.
func TestGoFormsTellUnset(t *testing.T) {
	stack, err := NewStack("unset", []Capacity{{4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	object := unsafe.Pointer(new(token))
	array := [1]unsafe.Pointer{object}
	if result, _, _, _ := pushAssigned(stack.ps, 0, object, nil); result != unserved {
		t.Errorf("push: %d, want %d", result, uintptr(unserved))
	}
	if n := pushBatchAssigned(stack.ps, 0, unsafe.Pointer(&array), 1); n != unserved {
		t.Errorf("pushBatch: %d, want %d", n, uintptr(unserved))
	}
	if got, _, _ := popAssigned(stack.ps, 0, 0); got != nil || popBatchAssigned(stack.ps, 0, unsafe.Pointer(&array), 1) != 0 {
		t.Errorf("popped %p, or a batch", got)
	}
}
