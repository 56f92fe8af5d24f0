//go:build vcpualloc_stalled && (amd64 || arm64)

package rseqcs

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

//go:embed sections_amd64.h sections_arm64.h
var sectionTexts embed.FS

// sectionText is one section as its source has it.
type sectionText struct {
	name   string // as in the constant nameSection
	points []int  // numbers, in the order of the text
}

var (
	pointForm = regexp.MustCompile(`POINT\((\d)\)`)
	enterForm = regexp.MustCompile(`ENTER\(\w+, \w+, const_(\w+)Section\)`)
)

// sectionsOf returns the sections of an architecture's source.
func sectionsOf(t *testing.T, arch string) (found []sectionText) {
	t.Helper()
	text, err := sectionTexts.ReadFile("sections_" + arch + ".h")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\nTEXT ")
	_, head, _ := strings.Cut(parts[0], "#define ENTER")
	for _, part := range parts[1:] {
		enter := enterForm.FindStringSubmatch(part)
		if enter == nil {
			t.Fatalf("%s: a section without ENTER: %.40q", arch, part)
		}
		s := sectionText{name: enter[1]}
		for _, match := range pointForm.FindAllStringSubmatch(head+part, -1) {
			number, _ := strconv.Atoi(match[1])
			s.points = append(s.points, number)
		}
		found = append(found, s)
	}
	return found
}

// TestPointsAreTheSame compares the two architectures, and demands of every
// section the points that all have.
func TestPointsAreTheSame(t *testing.T) {
	amd64, arm64 := sectionsOf(t, "amd64"), sectionsOf(t, "arm64")
	if len(amd64) != sectionCount {
		t.Errorf("%d sections in the source, %d in the table", len(amd64), sectionCount)
	}
	if fmt.Sprint(amd64) != fmt.Sprint(arm64) {
		t.Errorf("the architectures differ:\namd64 %v\narm64 %v", amd64, arm64)
	}
	for _, s := range amd64 {
		inside := len(s.points) - 2
		if inside < 3 || s.points[0] != 1 || s.points[inside+1] != 9 {
			t.Errorf("%s: points %v", s.name, s.points)
			continue
		}
		for i, number := range s.points[:inside+1] {
			if number != i+1 {
				t.Errorf("%s: points %v, want 1 to %d and 9", s.name, s.points, inside+1)
				break
			}
		}
	}
}

// play is one section, operated by the player, and what it does to the model.
type play struct {
	section int
	operate func(g *game) any
	model   func(g *game, s *slabState) any
}

// The classes of the game, and what of them the slabs begin with.
const (
	fullClass = 1 // some objects, and room for more
	bareClass = 2 // a header that nobody has set up

	fullInitial = 4
	fullRoom    = 12

	header1, header2 = 1<<32 | 1, 2<<32 | 2
	delta1, delta2   = 7, 1 << 40
)

// slabState is what a slab and the cell of the same id hold.
type slabState struct {
	objects []unsafe.Pointer // of fullClass
	header  uint64           // of bareClass
	cell    int64
}

// setUp makes a stack in which every vCPU has objects of its own, and returns
// the state.
func (g *game) setUp() (states []slabState) {
	stack, err := NewStack("game", []Capacity{{1, 1}, {fullRoom, fullRoom}, {1, 1}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.stack = stack
	c := stack.classes[fullClass]
	for id := range stack.vcpuSlabs {
		slab := stack.slab(id)
		for i := range fullInitial {
			*slotAt(slab, c.begin+uint32(i*slotSize)) = g.object(id, i)
		}
		*headerAt(slab, fullClass) = header{c.begin + fullInitial*slotSize, c.first}
	}
	return g.states()
}

// states reads all slabs and cells. Nobody may work on them.
func (g *game) states() (states []slabState) {
	for id := range g.stack.vcpuSlabs {
		slab := g.stack.slab(id)
		s := slabState{cell: g.counter.vcpus[1+id].sum, header: atomic.LoadUint64((*uint64)(unsafe.Pointer(headerAt(slab, bareClass))))}
		for i := range g.stack.Len(id, fullClass) {
			s.objects = append(s.objects, *slotAt(slab, g.stack.classes[fullClass].begin+uint32(i*slotSize)))
		}
		states = append(states, s)
	}
	return states
}

// foreign is the object that only who meddles pushes.
func (g *game) foreign() unsafe.Pointer { return g.object(vcpu.Max(), 0) }

// meddle changes all that a section can have loaded.
func (g *game) meddle() {
	base := g.stack.vcpus
	run.pop(base, fullClass, 0)
	run.pop(base, fullClass, 0)
	run.push(base, fullClass, g.foreign(), nil)
	run.setHeader(base, bareClass, nil, header2)
	run.add(unsafe.Pointer(&g.counter.vcpus[1]), delta2)
}

func (g *game) modelMeddle(s *slabState) {
	s.objects = append(slices.Clone(s.objects[:len(s.objects)-2]), g.foreign())
	if s.header == 0 {
		s.header = header2
	}
	s.cell += delta2
}

var plays = map[string]play{
	"pop": {popSection, func(g *game) any {
		object, _, _ := run.pop(g.stack.vcpus, fullClass, 0)
		return object
	}, func(_ *game, s *slabState) any { return s.take() }},

	"push": {pushSection, func(g *game) any {
		outcome, _, _, _ := run.push(g.stack.vcpus, fullClass, g.object(0, 6), nil)
		return outcome
	}, func(g *game, s *slabState) any {
		s.objects = append(slices.Clone(s.objects), g.object(0, 6))
		return uintptr(pushed)
	}},

	"popBatch": {popBatchSection, func(g *game) any {
		var into [2]unsafe.Pointer
		n := run.popBatch(g.stack.vcpus, fullClass, unsafe.Pointer(&into), uintptr(len(into)))
		return fmt.Sprint(n, into)
	}, func(_ *game, s *slabState) any { return fmt.Sprint(2, [2]unsafe.Pointer{s.take(), s.take()}) }},

	"pushBatch": {pushBatchSection, func(g *game) any {
		from := [2]unsafe.Pointer{g.object(0, 6), g.object(0, 7)}
		return run.pushBatch(g.stack.vcpus, fullClass, unsafe.Pointer(&from), uintptr(len(from)))
	}, func(g *game, s *slabState) any {
		s.objects = append(slices.Clone(s.objects), g.object(0, 6), g.object(0, 7))
		return uintptr(2)
	}},

	"setHeader": {setHeaderSection, func(g *game) any {
		return run.setHeader(g.stack.vcpus, bareClass, nil, header1)
	}, func(_ *game, s *slabState) any {
		if s.header != 0 {
			return uintptr(kept)
		}
		s.header = header1
		return uintptr(stored)
	}},

	"add": {addSection, func(g *game) any {
		return run.add(unsafe.Pointer(&g.counter.vcpus[1]), delta1)
	}, func(_ *game, s *slabState) any {
		s.cell += delta1
		return uintptr(stored)
	}},
}

// take removes and returns the newest object.
func (s *slabState) take() unsafe.Pointer {
	last := len(s.objects) - 1
	object := s.objects[last]
	s.objects = s.objects[:last]
	return object
}
