//go:build amd64 || arm64

package rseqcs

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// variantHere returns which row of the section table this process runs.
func variantHere() int {
	prepare()
	for variant := range sectionTable() {
		if variant != byP && sectionDescriptors()[variant][0].Start != 0 {
			return variant
		}
	}
	return -1
}

// callForms returns the sections of this process in both forms of a call.
func callForms() map[string]operations {
	variant := variantHere()
	if variant < 0 {
		return nil
	}
	entries := &sectionTable()[variant]
	return map[string]operations{"registers": registerCalls(entries), "stack": stackCalls(entries)}
}

// TestPinnedForms plays the game on the slabs of the Ps, in assembly and in Go.
func TestPinnedForms(t *testing.T) {
	prepare()
	beforeRun, beforePinned, beforeSections := run, pinned, sections
	defer func() { run, pinned, sections = beforeRun, beforePinned, beforeSections }()
	sections = false
	for name, o := range map[string]operations{"assembly": beforePinned, "Go": assigned} {
		t.Run(name, func(t *testing.T) {
			run, pinned = o, o
			TestStackConserves(t)
			TestCounterIsExact(t)
			TestStackIsLIFO(t)
			TestFreshClassTakesABatch(t)
			checkWithoutASlab(t, o)
			checkCells(t, o)
		})
	}
}

// checkWithoutASlab works on a P that is just behind those with a slab.
func checkWithoutASlab(t *testing.T, o operations) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	stack, err := NewStack("none", []Capacity{{4, 4}, {4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	c := stack.classes[0]
	*slotAt(stack.ps, c.begin) = unsafe.Pointer(new(token))
	*headerAt(stack.ps, 0) = header{c.begin + slotSize, c.first}
	*rowCount(stack.ps) = 0 // and the only P is number 0
	cells := makeCells(1)
	*rowCount(unsafe.Pointer(&cells[1])) = 0
	array := new([2]unsafe.Pointer)
	object, _, _ := o.pop(stack.ps, 0, 0)
	outcome, _, _, _ := o.push(stack.ps, 0, unsafe.Pointer(new(token)), nil)
	popped := o.popBatch(stack.ps, 0, unsafe.Pointer(array), 2)
	pushed := o.pushBatch(stack.ps, 0, unsafe.Pointer(array), 2)
	header := o.setHeader(stack.ps, 1, nil, 1)
	added := o.add(unsafe.Pointer(&cells[1]), 1)
	if object != nil || outcome != unserved || popped != 0 || pushed != unserved || header != kept || added != kept {
		t.Errorf("on a P without a slab: pop %p, push %d, popBatch %d, pushBatch %d, setHeader %d, add %d",
			object, outcome, popped, pushed, header, added)
	}
}

// checkCells adds on a P that is not the first: to its cell.
func checkCells(t *testing.T, o operations) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var stop atomic.Bool
	defer stop.Store(true)
	go func() { // keeps the other P
		for !stop.Load() {
		}
	}()
	place := func() int {
		p := procpin.Pin()
		procpin.Unpin()
		return p
	}
	stress.Until(t, func() error {
		cells := makeCells(2)
		before := place()
		o.add(unsafe.Pointer(&cells[1]), 1)
		if before == 1 && place() == before {
			if first := (*int64)(unsafe.Pointer(&cells[1])); *first != 0 {
				t.Errorf("P 1 has added to the cell of P 0")
			}
			return nil
		}
		return errors.New("this goroutine was never on P 1") // after a pause it goes on on either P
	})
}

// TestCallForms plays the game with either form, whichever the process has chosen.
func TestCallForms(t *testing.T) {
	for name, o := range callForms() {
		t.Run(name, func(t *testing.T) {
			before := run
			run = o
			defer func() { run = before }()
			TestStackConserves(t)
		})
	}
}
