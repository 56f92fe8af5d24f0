//go:build vcpualloc_stalled && (amd64 || arm64)

package rseqcs

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"
)

//go:embed *_amd64.h *_arm64.h
var sectionTexts embed.FS

// sectionText is one section as its source has it.
type sectionText struct {
	name   string // as in the constant nameSection
	points []int  // numbers, in the order of the text
}

var (
	nameForm  = regexp.MustCompile(`const_(\w+)Section\b`)
	macroForm = regexp.MustCompile(`(?m)^#define (\w+)\([^\\\n]*((?:\\\n[^\\\n]*)*)`)
	useForm   = regexp.MustCompile(`\b([A-Z_]+)\((\d*)`)
)

// sectionsOf returns the sections of an architecture's sources.
func sectionsOf(t *testing.T, arch string) (found []sectionText) {
	t.Helper()
	files, err := fs.Glob(sectionTexts, "*_"+arch+".h")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	macros := make(map[string]string)
	for _, file := range files {
		text, err := sectionTexts.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range macroForm.FindAllStringSubmatch(string(text), -1) {
			macros[match[1]] = match[2]
		}
		texts = append(texts, strings.Split(string(text), "\nTEXT ")[1:]...)
	}
	for _, text := range texts {
		if name := nameForm.FindStringSubmatch(text); name != nil {
			found = append(found, sectionText{name[1], pointsIn(text, macros)})
		}
	}
	slices.SortFunc(found, func(a, b sectionText) int { return strings.Compare(a.name, b.name) })
	return found
}

// pointsIn returns the numbers of the points in a text with macros.
func pointsIn(text string, macros map[string]string) (numbers []int) {
	for _, use := range useForm.FindAllStringSubmatch(text, -1) {
		if number, err := strconv.Atoi(use[2]); use[1] == "POINT" && err == nil {
			numbers = append(numbers, number)
			continue
		}
		numbers = append(numbers, pointsIn(macros[use[1]], macros)...)
	}
	return numbers
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
	nothing any // its result when it gives up
	operate func(g *game) any
	model   func(g *game, s *slabState) any
	once    bool // it gives up after one abort
	single  bool // it works on class 0, which takes the place of fullClass
}

// full and sole return the classes of the stack that hold some objects and one.
func (p *play) full() int {
	if p.single {
		return singleClass
	}
	return fullClass
}

func (p *play) sole() int { return soleClass + fullClass - p.full() }

// The classes of the game, and what of them the slabs begin with.
const (
	soleClass = 0 // one object
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
	capacities := []Capacity{bareClass: {1, 1}}
	capacities[g.play.sole()], capacities[g.play.full()] = Capacity{1, 1}, Capacity{fullRoom, fullRoom}
	stack, err := NewStack("game", capacities)
	if err != nil {
		g.t.Fatal(err)
	}
	g.stack, g.o, g.base = stack, &run, stack.vcpus
	g.brought, g.kept = nil, nil
	g.blocks.Open(stack, g.classes, rangeOf(g.classes, g.origin, g.pages), Slow{
		g.slowPath, g.slowPath, func(*Blocks, []byte) { g.slow = true },
	})
	g.single.Open(&g.blocks, stack, fullClass, SlowSingle{
		func(*Single) (unsafe.Pointer, error) { return nil, nil },
		func(*Single, unsafe.Pointer) { g.slow = true },
	})
	for id := range stack.vcpuSlabs + stack.pSlabs {
		slab := stack.slab(id)
		begin := func(class, first, count int) {
			c := stack.classes[class]
			for i := range count {
				*slotAt(slab, c.begin+uint32(i*slotSize)) = g.object(id, first+i)
			}
			*headerAt(slab, uintptr(class)) = header{c.begin + uint32(count*slotSize), c.first}
		}
		begin(g.play.sole(), 0, 1)
		begin(g.play.full(), 1, fullInitial)
	}
	return g.states()
}

// states reads all slabs and cells. Nobody may work on them.
func (g *game) states() (states []slabState) {
	for id := range g.stack.vcpuSlabs {
		slab := g.stack.slab(id)
		s := slabState{cell: g.counter.vcpus[1+id].sum, header: atomic.LoadUint64((*uint64)(unsafe.Pointer(headerAt(slab, bareClass))))}
		for i := range g.stack.Len(id, g.play.full()) {
			s.objects = append(s.objects, *slotAt(slab, g.stack.classes[g.play.full()].begin+uint32(i*slotSize)))
		}
		states = append(states, s)
	}
	return states
}

// meddle changes all that a section can have loaded.
func (g *game) meddle() {
	base := g.stack.vcpus
	class := uintptr(g.play.full())
	run.pop(base, class, 0)
	run.pop(base, class, 0)
	run.push(base, class, g.foreign, nil)
	run.setHeader(base, bareClass, nil, header2)
	run.add(unsafe.Pointer(&g.counter.vcpus[1]), delta2)
}

func (g *game) modelMeddle(s *slabState) {
	s.objects = append(slices.Clone(s.objects[:len(s.objects)-2]), g.foreign)
	if s.header == 0 {
		s.header = header2
	}
	s.cell += delta2
}

// plays is how each section is operated. What the player brings or keeps is
// noted, so that it can be counted.
var plays = map[string]play{
	"pop": {popSection, unsafe.Pointer(nil), func(g *game) any {
		object, _, _ := g.o.pop(g.base, fullClass, 0)
		if object != nil {
			g.kept = []unsafe.Pointer{object}
		}
		return object
	}, func(_ *game, s *slabState) any { return s.take() }, false, false},

	"push": {pushSection, uintptr(unserved), func(g *game) any {
		g.brought = g.own[:1]
		outcome, _, _, _ := g.o.push(g.base, fullClass, g.own[0], nil)
		if outcome != pushed {
			g.kept = g.brought
		}
		return outcome
	}, func(g *game, s *slabState) any {
		s.objects = append(slices.Clone(s.objects), g.own[0])
		return uintptr(pushed)
	}, false, false},

	"popBatch": {popBatchSection, fmt.Sprint([]unsafe.Pointer{}), func(g *game) any {
		var into [2]unsafe.Pointer
		n := g.o.popBatch(g.base, fullClass, unsafe.Pointer(&into), uintptr(len(into))|uintptr(g.stack.classes[fullClass].begin)<<32)
		g.kept = into[:n]
		return fmt.Sprint(g.kept)
	}, func(_ *game, s *slabState) any { return fmt.Sprint([]unsafe.Pointer{s.take(), s.take()}) }, false, false},

	"pushBatch": {pushBatchSection, uintptr(unserved), func(g *game) any {
		g.brought = g.own[:]
		n := g.o.pushBatch(g.base, fullClass, unsafe.Pointer(&g.own), uintptr(len(g.own)))
		g.kept = g.own[n&^unserved:]
		return n
	}, func(g *game, s *slabState) any {
		s.objects = append(slices.Clone(s.objects), g.own[:]...)
		return uintptr(2)
	}, false, false},

	"setHeader": {setHeaderSection, uintptr(kept), func(g *game) any {
		return g.o.setHeader(g.base, bareClass, nil, header1)
	}, func(_ *game, s *slabState) any {
		if s.header != 0 {
			return uintptr(kept)
		}
		s.header = header1
		return uintptr(stored)
	}, false, false},

	"add": {addSection, uintptr(kept), func(g *game) any {
		return run.add(unsafe.Pointer(&g.counter.vcpus[1]), delta1)
	}, func(_ *game, s *slabState) any {
		s.cell += delta1
		return uintptr(stored)
	}, false, false},

	"alloc": {allocSection, slowly, func(g *game) any {
		return g.took(g.blocks.Alloc(&g.blocks, objectSize-1))
	}, func(_ *game, s *slabState) any { return s.take() }, true, false},

	"allocZeroed": {allocZeroedSection, slowly, func(g *game) any {
		return g.took(g.blocks.AllocZeroed(&g.blocks, objectSize-1))
	}, func(_ *game, s *slabState) any { return s.take() }, true, false},

	"free": {freeSection, slowly, func(g *game) any {
		g.brought, g.slow = g.own[:1], false
		g.blocks.Free(&g.blocks, unsafe.Slice((*byte)(g.own[0]), objectSize))
		if g.slow {
			g.kept = g.brought
			return slowly
		}
		return nil
	}, func(g *game, s *slabState) any {
		s.objects = append(slices.Clone(s.objects), g.own[0])
		return nil
	}, true, false},

	"get": {getSection, slowly, func(g *game) any {
		object, _ := g.single.Get(&g.single)
		if object == nil {
			return slowly
		}
		g.kept = []unsafe.Pointer{object}
		return object
	}, func(_ *game, s *slabState) any { return s.take() }, true, true},

	"put": {putSection, slowly, func(g *game) any {
		g.brought, g.slow = g.own[:1], false
		g.single.Put(&g.single, g.own[0])
		if g.slow {
			g.kept = g.brought
			return slowly
		}
		return nil
	}, func(g *game, s *slabState) any {
		s.objects = append(slices.Clone(s.objects), g.own[0])
		return nil
	}, true, true},
}

// slowly is the result of a section of Blocks that has left it to the slow path.
const slowly = "slowly"

// slowPath is that of the game's Blocks, which changes nothing.
func (g *game) slowPath(*Blocks, int) ([]byte, error) { return nil, nil }

// took notes the block that the player has got.
func (g *game) took(block []byte, _ error) any {
	if block == nil {
		return slowly
	}
	object := unsafe.Pointer(unsafe.SliceData(block))
	g.kept = []unsafe.Pointer{object}
	return object
}

// take removes and returns the newest object.
func (s *slabState) take() unsafe.Pointer {
	last := len(s.objects) - 1
	object := s.objects[last]
	s.objects = s.objects[:last]
	return object
}
