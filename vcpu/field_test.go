package vcpu

import (
	"math"
	"runtime"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

func TestFieldEnd(t *testing.T) {
	for _, row := range []struct {
		field Field
		end   int
	}{
		{FieldCPUIDStart, 4}, {FieldCPUID, 8}, {FieldFlags, 20}, {FieldNodeID, 24}, {FieldMMCID, 28}, {FieldSliceCtrl, 32},
		{Field{40, 4}, 44}, {Field{0, 1}, 1}, {Field{33, 2}, 35}, {Field{8, 8}, 16},
		{Field{}, 0}, {Field{8, 0}, 0}, {Field{8, 3}, 0}, {Field{8, 16}, 0}, {Field{8, -4}, 0}, {Field{-4, 8}, 0},
		{Field{math.MaxInt, 8}, 0}, {Field{math.MaxInt - 7, 8}, 0}, {Field{math.MaxInt - 8, 8}, math.MaxInt}, {Field{math.MinInt, 8}, 0},
	} {
		if end := row.field.End(); end != row.end {
			t.Errorf("%+v ends at %d, want %d", row.field, end, row.end)
		}
	}
}

// TestReadAgreesWithHas reads every place at and beyond the end of what the kernel fills
// in: those that Has says are there, and no other.
func TestReadAgreesWithHas(t *testing.T) {
	f := Probe()
	if under := f.Owner == rseq.None.String(); under && f.Size != 0 {
		t.Errorf("%d bytes are filled in without an area", f.Size)
	}
	for offset := -9; offset < 80; offset++ {
		for size := -1; size <= 17; size++ {
			field := Field{offset, size}
			value, ok := Read(field)
			if ok != f.Has(field.End()) {
				t.Errorf("%+v: %v, Has says %v of %d bytes", field, ok, f.Has(field.End()), f.Size)
			}
			if value != 0 && !ok || ok && size < 8 && value >= 1<<(8*size) {
				t.Errorf("%+v: the value is %#x", field, value)
			}
		}
	}
	for _, far := range []Field{{math.MaxInt, 8}, {math.MaxInt - 8, 8}, {math.MinInt, 8}, {1 << 40, 4}} {
		if _, ok := Read(far); ok {
			t.Errorf("%+v was read", far)
		}
	}
}

// TestReadOfAFreshThread reads on threads that have no area yet.
func TestReadOfAFreshThread(t *testing.T) {
	f := Probe()
	for range 20 { // some of them are threads of before
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked: the thread ends
			cpu, ok := Read(FieldCPUID)
			if ok != f.Has(FieldCPUID.End()) || ok && cpu >= 1<<20 {
				t.Errorf("the CPU is %d, %v", cpu, ok)
			}
		}()
		<-done
	}
}

// TestReadInParts: a value is the same in one load and byte by byte, of fields that do
// not change, and both copies of the CPU number agree if nothing came between.
func TestReadInParts(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if !Probe().Has(FieldFlags.End()) {
		t.Logf("no area: %s", Probe().Reason)
		return
	}
	equal := 0
	for range 1000 {
		whole, _ := Read(Field{0, 8})
		start, _ := Read(FieldCPUIDStart)
		cpu, _ := Read(FieldCPUID)
		high, _ := Read(Field{6, 2})
		low, _ := Read(Field{4, 1})
		if whole == start|cpu<<32 && high == cpu>>16 && low == cpu&0xff {
			equal++
		}
	}
	if equal < 100 { // in between the thread may change its CPU
		t.Errorf("the parts fit the whole in %d of 1000 readings", equal)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, func() { Read(FieldCPUID) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRead(b *testing.B) {
	if _, ok := Read(FieldCPUID); !ok {
		b.Skip(Probe().Reason)
	}
	sum := uint64(0)
	for b.Loop() {
		value, _ := Read(FieldCPUID)
		sum += value
	}
	_ = sum
}
