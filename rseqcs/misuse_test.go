package rseqcs

import (
	"math"
	"math/bits"
	"strings"
	"testing"
	"unsafe"
)

// drains are all ways to empty a stack.
var drains = map[string]func(s *Stack, i *Idle, give func(int, []unsafe.Pointer)){
	"Drain":      func(s *Stack, _ *Idle, give func(int, []unsafe.Pointer)) { s.Drain(give) },
	"Shut":       func(s *Stack, _ *Idle, give func(int, []unsafe.Pointer)) { s.Shut(give) },
	"Empty":      func(s *Stack, _ *Idle, give func(int, []unsafe.Pointer)) { s.Empty(give) },
	"Idle.Drain": func(_ *Stack, i *Idle, give func(int, []unsafe.Pointer)) { i.Drain(0, give) },
}

const drainedClasses, drainedPerClass = 3, drainBatch + 3

// filled returns a stack with objects in all classes, and an Idle that has seen them.
func filled(t *testing.T) (*Stack, *Idle, int) {
	t.Helper()
	capacity := Capacity{drainedPerClass, drainedPerClass}
	s, err := NewStack("filled", []Capacity{capacity, capacity, capacity})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	objects, count := make([]token, drainedClasses*drainedPerClass), 0
	for i := range objects {
		if s.Push(i%drainedClasses, unsafe.Pointer(&objects[i])) == Pushed {
			count++
		}
	}
	if count <= 2*drainBatch {
		t.Fatalf("%d of %d objects were pushed", count, len(objects))
	}
	i := s.NewIdle()
	i.Look(0)
	return s, i, count
}

// TestStackStaysShut drains stacks that are shut, in all ways.
func TestStackStaysShut(t *testing.T) {
	object := unsafe.Pointer(new(token))
	for name, drain := range drains {
		t.Run(name, func(t *testing.T) {
			s, i, count := filled(t)
			given := 0
			give := func(_ int, objects []unsafe.Pointer) { given += len(objects) }
			s.Shut(give)
			for range 2 {
				drain(s, i, give)
				for class := range drainedClasses {
					if outcome, n := s.Push(class, object), s.PushBatch(class, []unsafe.Pointer{object}); outcome != Full || n != 0 {
						t.Errorf("class %d: Push gives %d and PushBatch %d", class, outcome, n)
					}
					if p, n := s.Pop(class), s.PopBatch(class, make([]unsafe.Pointer, 1)); p != nil || n != 0 {
						t.Errorf("class %d: Pop gives %p and PopBatch %d", class, p, n)
					}
				}
			}
			if given != count {
				t.Errorf("%d objects were handed over, %d were pushed", given, count)
			}
		})
	}
}

// TestDrainSurvivesAPanic: when give panics, each object is handed over once, by this
// call or by a later one, and the stack works as before, or is shut.
func TestDrainSurvivesAPanic(t *testing.T) {
	for name, drain := range drains {
		t.Run(name, func(t *testing.T) {
			s, i, count := filled(t)
			given := make(map[unsafe.Pointer]int)
			give := func(_ int, objects []unsafe.Pointer) {
				for _, object := range objects {
					given[object]++
				}
			}
			calls := 0
			text := panicText(func() {
				drain(s, i, func(class int, objects []unsafe.Pointer) {
					give(class, objects)
					if calls++; calls == 2 {
						panic("by give")
					}
				})
			})
			if text != "by give" {
				t.Errorf("panic with %q", text)
			}
			object := unsafe.Pointer(new(token))
			outcome := s.Push(1, object)
			// The class may still be full, and the thread may change its vCPU in between.
			for tries := 0; outcome == Full && name != "Shut" && tries < 100; tries++ {
				if s.Pop(1) != nil {
					count--
				}
				outcome = s.Push(1, object)
			}
			if want := name != "Shut"; want != (outcome == Pushed) {
				t.Errorf("a push gives %d", outcome)
			}
			if outcome == Pushed {
				count++
			}
			drain(s, i, give)
			if name == "Idle.Drain" { // takes only what is idle
				s.Drain(give)
			}
			for object, times := range given {
				if times != 1 {
					t.Errorf("%p was handed over %d times", object, times)
				}
			}
			if len(given) != count {
				t.Errorf("%d objects were handed over, %d were pushed", len(given), count)
			}
		})
	}
}

// TestDrainRefusesWhatCannotDrain: no function and no slabs. Nothing is stopped then.
func TestDrainRefusesWhatCannotDrain(t *testing.T) {
	for name, drain := range drains {
		t.Run(name, func(t *testing.T) {
			s, i, count := filled(t)
			if text := panicText(func() { drain(s, i, nil) }); text != "rseqcs: drain with a nil function" {
				t.Errorf("with nil: panic with %q", text)
			}
			left := 0
			for class := range drainedClasses {
				left += len(s.contents(class))
			}
			if left != count {
				t.Errorf("%d objects are left of %d", left, count)
			}
			object := s.Pop(0)
			for tries := 0; object == nil && tries < 1000; tries++ { // the thread can have changed its vCPU
				object = s.Pop(0)
			}
			if object == nil && s.Len(s.Here(), 0) > 0 {
				t.Error("nothing can be popped")
			}
			if outcome := s.Push(0, unsafe.Pointer(new(token))); outcome != Pushed && s.Len(s.Here(), 0) < drainedPerClass {
				t.Errorf("a push gives %d", outcome)
			}
			zero := new(Stack)
			give := func(int, []unsafe.Pointer) { t.Error("an object") }
			text := panicText(func() { drain(zero, zero.NewIdle(), give) })
			if text != "rseqcs: drain of a Stack that NewStack did not return" {
				t.Errorf("of a zero Stack: panic with %q", text)
			}
		})
	}
}

// TestPushBatchRefusesNil: a nil in a slot would hide the objects below it.
func TestPushBatchRefusesNil(t *testing.T) {
	s, err := NewStack("nil", []Capacity{{8, 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, last := unsafe.Pointer(new(token)), unsafe.Pointer(new(token))
	text := panicText(func() { s.PushBatch(0, []unsafe.Pointer{first, nil, last}) })
	if text != "rseqcs: object 1 of 3 is nil" {
		t.Errorf("panic with %q", text)
	}
	if objects := s.contents(0); len(objects) != 0 {
		t.Errorf("%v were added", objects)
	}
}

// TestNewStackRefusesCapacitiesThatOverflow: sizes that a product or a sum of 32 or 64
// bits makes small, so that the slots of classes would overlap or leave the slab.
func TestNewStackRefusesCapacitiesThatOverflow(t *testing.T) {
	const wraps = math.MaxInt/slotSize/2 + 1 // objects: the product with slotSize has the sign bit
	small := Capacity{8, 8}
	for _, capacities := range [][]Capacity{
		{{wraps, wraps}}, {{2 * wraps, 2 * wraps}}, {{8, wraps}}, {{8, 2 * wraps}}, {{8, 4 * wraps}},
		{{wraps + 100, wraps + 100}}, {{8, 2*wraps + 100}, {100, 100}},
		{{math.MaxInt, math.MaxInt}}, {{8, math.MaxInt}, {8, math.MaxInt}, small},
		{small, {8, 2 * wraps}}, {small, {100000, 2 * wraps}, small},
		{{wraps, wraps}, {wraps, wraps}}, {{2 * wraps, 2 * wraps}, {2 * wraps, 2 * wraps}},
		{{8, 1 << 29}}, {{8, 1<<29 + 8}, small}, {{8, slabSize/slotSize + 1}},
	} {
		s, err := NewStack("overflow", capacities)
		if err == nil {
			t.Errorf("%v is accepted", capacities)
			s.Close()
		} else if text := err.Error(); !strings.Contains(text, "class ") || !strings.Contains(text, "a slab has 32768 slots") {
			t.Errorf("%v: %v", capacities, err)
		}
	}
	all := Capacity{0, (slabSize - offsetSlots - 2*slotSize) / slotSize}
	s, err := NewStack("all", []Capacity{all})
	if err != nil {
		t.Fatalf("%v, which fits: %v", all, err)
	}
	s.Close()
	all.Max++
	if s, err := NewStack("more", []Capacity{all}); err == nil {
		t.Errorf("%v is accepted", all)
		s.Close()
	}
}

// TestAddressesSuffice: as many slabs as there are addresses for, and one more.
func TestAddressesSuffice(t *testing.T) {
	most := 1<<(bits.UintSize-1-slabShift) - 1 // the word for the sign, and the granules of the rows
	if size, err := addressesFor(most); err != nil || uint64(size) < uint64(most)*slabSize {
		t.Errorf("%d slabs take %d bytes, %v", most, size, err)
	}
	for _, slabs := range []int{most + 1, 2*most + 2, math.MaxInt} {
		if size, err := addressesFor(slabs); err == nil || !strings.Contains(err.Error(), "GOMAXPROCS") {
			t.Errorf("%d slabs take %d bytes, %v", slabs, size, err)
		}
	}
}

// TestIdleCountsManyLooks: more looks than a byte counts.
func TestIdleCountsManyLooks(t *testing.T) {
	const looks = 300
	_, i, count := filled(t) // and one look that finds the magazines changed
	for look := 1; look <= looks+1; look++ {
		if idle := i.Look(looks); (idle == count) != (look >= looks) || idle != 0 && idle != count {
			t.Fatalf("%d objects of %d are idle at look %d", idle, count, look)
		}
	}
}
