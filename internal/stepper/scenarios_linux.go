//go:build amd64 || arm64

package main

import (
	"fmt"
	"slices"
	"strconv"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// scenario is one way through a section. Each section has all ways that its
// code can take; a section of the table without a scenario is an error.
type scenario struct {
	section  string // its name in the table
	name     string
	idle     bool // the commit stores what was there
	once     bool // an abort sends it the slow way, instead of to the start again
	start    func(*world)
	victim   func(*world) string // runs the section once, on the traced thread
	intruder func(*world) string // another thread's operation on the same arena

	alone  outcome // the victim, interrupted or not, without an intruder
	before outcome // the intruder takes effect before the victim
	after  outcome // the intruder takes effect after the victim
}

// outcome is what two operations returned and what they left in the arena.
type outcome struct {
	victim, intruder, left string
}

var scenarios = []scenario{
	{
		section: "pop", name: "an object", start: holding(8, "abc"), victim: pop, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "pop", name: "nothing", start: holding(8, ""), victim: pop, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"none", "pushed", "y"},
	},
	{
		section: "push", name: "room", start: holding(8, "ab"), victim: push('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "push", name: "full", start: holding(2, "ab"), victim: push('x'), intruder: pop,
		alone: outcome{"full", "", "ab"}, before: outcome{"pushed", "b", "ax"}, after: outcome{"full", "b", "a"},
	},
	{
		section: "push", name: "the newest again", start: holding(8, "abx"), victim: push('x'), intruder: pop,
		alone: outcome{"duplicate", "", "abx"}, before: outcome{"pushed", "x", "abx"}, after: outcome{"duplicate", "x", "ab"},
	},
	{
		section: "popBatch", name: "three", start: holding(8, "abcde"), victim: popBatch(3), intruder: pop,
		alone: outcome{"edc", "", "ab"}, before: outcome{"dcb", "e", "a"}, after: outcome{"edc", "b", "a"},
	},
	{
		section: "popBatch", name: "fewer than asked for", start: holding(8, "ab"), victim: popBatch(3), intruder: push('y'),
		alone: outcome{"ba", "", ""}, before: outcome{"yba", "pushed", ""}, after: outcome{"ba", "pushed", "y"},
	},
	{
		section: "popBatch", name: "all of an even number", start: holding(8, "abcd"), victim: popBatch(4), intruder: pop,
		alone: outcome{"dcba", "", ""}, before: outcome{"cba", "d", ""}, after: outcome{"dcba", "none", ""},
	},
	{
		section: "popBatch", name: "one", start: holding(8, "ab"), victim: popBatch(1), intruder: pop,
		alone: outcome{"b", "", "a"}, before: outcome{"a", "b", ""}, after: outcome{"b", "a", ""},
	},
	{
		section: "popBatch", name: "nothing", start: holding(8, ""), victim: popBatch(2), intruder: push('y'),
		alone: outcome{"", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"", "pushed", "y"},
	},
	{
		section: "pushBatch", name: "three", start: holding(8, "ab"), victim: pushBatch("xyz"), intruder: push('q'),
		alone: outcome{"3", "", "abxyz"}, before: outcome{"3", "pushed", "abqxyz"}, after: outcome{"3", "pushed", "abxyzq"},
	},
	{
		section: "pushBatch", name: "room for two", start: holding(4, "ab"), victim: pushBatch("xyz"), intruder: pop,
		alone: outcome{"2", "", "abxy"}, before: outcome{"3", "b", "axyz"}, after: outcome{"2", "y", "abx"},
	},
	{
		section: "pushBatch", name: "two", start: holding(8, "a"), victim: pushBatch("xy"), intruder: push('q'),
		alone: outcome{"2", "", "axy"}, before: outcome{"2", "pushed", "aqxy"}, after: outcome{"2", "pushed", "axyq"},
	},
	{
		section: "pushBatch", name: "no room", idle: true, start: holding(2, "ab"), victim: pushBatch("xyz"), intruder: pop,
		alone: outcome{"0", "", "ab"}, before: outcome{"1", "b", "ax"}, after: outcome{"0", "b", "a"},
	},
	{
		section: "pushBatch", name: "more objects than room", idle: true, start: shrunk, victim: pushBatch("xyz"), intruder: pop,
		alone: outcome{"0", "", "abcd"}, before: outcome{"0", "d", "abc"}, after: outcome{"0", "d", "abc"},
	},
	{
		section: "setHeader", name: "none yet", start: holding(8, ""), victim: push('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "x"}, before: outcome{"pushed", "pushed", "yx"}, after: outcome{"pushed", "pushed", "yx"},
	},
	{
		section: "alloc", name: "a block", once: true, start: serving(8, "abc"), victim: alloc, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "alloc", name: "no block", once: true, start: serving(8, ""), victim: alloc, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"y", "pushed", ""},
	},
	{
		section: "alloc", name: "the countdown carries over", once: true, start: carrying(8, "abc"), victim: alloc, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"b", "c", "a"},
	},
	{
		section: "allocZeroed", name: "the countdown carries over", once: true, start: carrying(8, "abc"), victim: allocZeroed, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"b", "c", "a"},
	},
	{
		section: "allocZeroed", name: "a block", once: true, start: serving(8, "abc"), victim: allocZeroed, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "allocZeroed", name: "no block", once: true, start: serving(8, ""), victim: allocZeroed, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"y", "pushed", ""},
	},
	{
		section: "free", name: "room", once: true, start: serving(8, "ab"), victim: free('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "free", name: "full", once: true, start: serving(2, "ab"), victim: free('x'), intruder: pop,
		alone: outcome{"full", "", "ab"}, before: outcome{"pushed", "b", "ax"}, after: outcome{"pushed", "b", "ax"},
	},
	{
		section: "free", name: "the newest again", once: true, start: serving(8, "abx"), victim: free('x'), intruder: pop,
		alone: outcome{"duplicate", "", "abx"}, before: outcome{"pushed", "x", "abx"}, after: outcome{"pushed", "x", "abx"},
	},
	{
		section: "get", name: "an object", once: true, start: caching(8, "abc"), victim: get, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "get", name: "no object", once: true, start: caching(8, ""), victim: get, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"y", "pushed", ""},
	},
	{
		section: "put", name: "room", once: true, start: caching(8, "ab"), victim: put('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "put", name: "full", once: true, start: caching(2, "ab"), victim: put('x'), intruder: pop,
		alone: outcome{"full", "", "ab"}, before: outcome{"pushed", "b", "ax"}, after: outcome{"pushed", "b", "ax"},
	},
	{
		section: "put", name: "the newest again", once: true, start: caching(8, "abx"), victim: put('x'), intruder: pop,
		alone: outcome{"duplicate", "", "abx"}, before: outcome{"pushed", "x", "abx"}, after: outcome{"pushed", "x", "abx"},
	},
	{
		section: "add", name: "a number", start: counting(100), victim: add(5), intruder: add(70),
		alone: outcome{"added", "", "105"}, before: outcome{"added", "added", "175"}, after: outcome{"added", "added", "175"},
	},
}

// world is what a scenario works on, made anew for each run.
type world struct {
	stack   *rseqcs.Stack
	class   int // of stack: the one that the scenario uses
	counter *rseqcs.Counter
	blocks  rseqcs.Blocks // of stack
	single  rseqcs.Single // of stack
	freed   string        // what the slow way of a free or put has done
}

// shelf is a stack of whose classes each run uses a new one: a stack of its own
// for each would take most of the time. The first class is never used, so that a
// section that forgets the class is seen.
type shelf struct {
	stack *rseqcs.Stack
	used  int // classes
}

// shelves has one by the capacity of the classes.
var shelves = make(map[rseqcs.Capacity]*shelf)

// takeClass gives the world a class that nobody has used.
func (w *world) takeClass(capacity rseqcs.Capacity) error {
	s := shelves[capacity]
	if s == nil || s.used == rseqcs.MaxClasses {
		if s != nil {
			if err := s.stack.Close(); err != nil {
				return err
			}
		}
		capacities := make([]rseqcs.Capacity, rseqcs.MaxClasses)
		for i := range capacities {
			capacities[i] = capacity
		}
		stack, err := rseqcs.NewStack("stepper", capacities)
		if err != nil {
			return err
		}
		s = &shelf{stack: stack, used: 1}
		shelves[capacity] = s
	}
	w.stack, w.class = s.stack, s.used
	s.used++
	return nil
}

// objects are what the stacks hold. Each has a letter as its name. They lie where the
// range of a Blocks may begin.
var objects = func() *['z' - 'a' + 1]uint64 {
	memory := make([]byte, 2<<rseqcs.OriginShift)
	return (*['z' - 'a' + 1]uint64)(unsafe.Pointer(&memory[-uintptr(unsafe.Pointer(&memory[0]))&(1<<rseqcs.OriginShift-1)]))
}()

func object(letter byte) unsafe.Pointer { return unsafe.Pointer(&objects[letter-'a']) }

// letter returns the name of an object.
func letter(object unsafe.Pointer) string {
	if object == nil {
		return "none"
	}
	index := (uintptr(object) - uintptr(unsafe.Pointer(objects))) / unsafe.Sizeof(objects[0])
	if index >= uintptr(len(objects)) {
		return fmt.Sprintf("(%p, which is no object)", object)
	}
	return string(rune('a' + index))
}

// holding starts with a stack of a capacity that holds the objects, oldest first.
func holding(capacity int, letters string) func(*world) {
	return func(w *world) {
		if err := w.takeClass(rseqcs.Capacity{Initial: capacity, Max: capacity}); err != nil {
			panic(err)
		}
		for i := range len(letters) {
			push(letters[i])(w)
		}
	}
}

// shrunk starts with a stack that holds abcd and has been left room for two.
func shrunk(w *world) {
	if err := w.takeClass(rseqcs.Capacity{Initial: 2, Max: 4}); err != nil {
		panic(err)
	}
	pushBatch("ab")(w)
	grown := w.stack.Grow(w.class, 2)
	pushBatch("cd")(w)
	if less := w.stack.Shrink(w.stack.Here(), w.class, 2); !grown || less != 2 {
		panic(fmt.Sprintf("grown: %v, shrunk by %d", grown, less))
	}
}

// blockTable has one class, the one of the objects, and they are on one page.
var (
	blockTable  rseqcs.ClassTable
	blockPages  [1]rseqcs.PageEntry
	blockChecks [1]rseqcs.CheckWord
)

// serving is holding, for blocks. Its slow way is the stack's operations, so that
// what comes out is the same, whichever way was taken.
func serving(capacity int, letters string) func(*world) {
	return func(w *world) {
		holding(capacity, letters)(w)
		const size = unsafe.Sizeof(objects[0])
		class := uint8(w.class)
		blockTable.Fine[size>>rseqcs.FineShift], blockPages[0] = class, rseqcs.EntryOf(class, 0)
		blockTable.Sizes[class], blockTable.Factors[class], blockTable.Bounds[class] = uint32(size), 1<<61, 1
		slow := func(_ *rseqcs.Blocks, n int) ([]byte, error) {
			if object := w.stack.Pop(w.class); object != nil {
				return unsafe.Slice((*byte)(object), n), nil
			}
			return nil, nil
		}
		blockChecks[0] = blockTable.CheckOf(class, 0, 0, 0)
		w.blocks.Open(w.stack, &blockTable, rseqcs.Range{Origin: unsafe.Pointer(objects), Size: 1 << rseqcs.PageShift, Entries: &blockPages[0], Checks: &blockChecks[0]}, rseqcs.Slow{
			Alloc: slow,
			AllocZeroed: func(b *rseqcs.Blocks, n int) ([]byte, error) {
				block, err := slow(b, n)
				clear(block)
				return block, err
			},
			Free: func(_ *rseqcs.Blocks, block []byte) {
				w.freed = outcomeNames[w.stack.Push(w.class, unsafe.Pointer(unsafe.SliceData(block)))]
			},
		})
		for i := range objects {
			objects[i] = ^uint64(0)
		}
	}
}

// carrying is serving with slabs whose countdown carries over at the next byte.
func carrying(capacity int, letters string) func(*world) {
	return func(w *world) {
		serving(capacity, letters)(w)
		windCountdowns(w.stack, ^uint64(0))
	}
}

// windCountdowns sets the countdown of every slab of a stack.
//
//go:linkname windCountdowns github.com/vcpualloc/vcpualloc/rseqcs.windCountdowns
func windCountdowns(s *rseqcs.Stack, to uint64)

// singles has a stack of one class by its capacity, since a Single uses the first class
// of its stack.
var singles = make(map[int]*rseqcs.Stack)

// caching is holding, for the objects of a Single, with the slow way of serving.
func caching(capacity int, letters string) func(*world) {
	return func(w *world) {
		serving(capacity, "")(w)
		blocks, class := &w.blocks, uint8(w.class)
		if singles[capacity] == nil {
			stack, err := rseqcs.NewStack("stepper, single", []rseqcs.Capacity{{Initial: capacity, Max: capacity}})
			if err != nil {
				panic(err)
			}
			singles[capacity] = stack
		}
		w.stack, w.class = singles[capacity], 0
		popBatch(len(objects))(w) // what a run that was given up has left
		w.single.Open(blocks, w.stack, class, rseqcs.SlowSingle{
			Get: func(*rseqcs.Single) (unsafe.Pointer, error) { return w.stack.Pop(w.class), nil },
			Put: func(_ *rseqcs.Single, object unsafe.Pointer) {
				w.freed = outcomeNames[w.stack.Push(w.class, object)]
			},
		})
		for i := range len(letters) {
			push(letters[i])(w)
		}
	}
}

// counting starts with a counter that has been used.
func counting(sum int64) func(*world) {
	return func(w *world) {
		w.counter = new(rseqcs.Counter)
		w.counter.Add(sum)
	}
}

func pop(w *world) string { return letter(w.stack.Pop(w.class)) }

var outcomeNames = map[rseqcs.Outcome]string{rseqcs.Pushed: "pushed", rseqcs.Full: "full", rseqcs.Duplicate: "duplicate"}

func push(letter byte) func(*world) string {
	return func(w *world) string { return outcomeNames[w.stack.Push(w.class, object(letter))] }
}

func popBatch(count int) func(*world) string {
	return func(w *world) (letters string) {
		batch := make([]unsafe.Pointer, count)
		for _, object := range batch[:w.stack.PopBatch(w.class, batch)] {
			letters += letter(object)
		}
		return letters
	}
}

func pushBatch(letters string) func(*world) string {
	return func(w *world) string {
		var batch []unsafe.Pointer
		for i := range len(letters) {
			batch = append(batch, object(letters[i]))
		}
		return strconv.Itoa(w.stack.PushBatch(w.class, batch))
	}
}

func alloc(w *world) string {
	block, _ := w.blocks.Alloc(&w.blocks, int(unsafe.Sizeof(objects[0])))
	return letter(unsafe.Pointer(unsafe.SliceData(block)))
}

func allocZeroed(w *world) string {
	block, _ := w.blocks.AllocZeroed(&w.blocks, int(unsafe.Sizeof(objects[0])))
	name := letter(unsafe.Pointer(unsafe.SliceData(block)))
	for _, b := range block {
		if b != 0 {
			return name + " not zeroed"
		}
	}
	return name
}

func free(letter byte) func(*world) string {
	return func(w *world) string {
		w.freed = outcomeNames[rseqcs.Pushed]
		w.blocks.Free(&w.blocks, unsafe.Slice((*byte)(object(letter)), unsafe.Sizeof(objects[0])))
		return w.freed
	}
}

func get(w *world) string {
	object, _ := w.single.Get(&w.single)
	return letter(object)
}

func put(letter byte) func(*world) string {
	return func(w *world) string {
		w.freed = outcomeNames[rseqcs.Pushed]
		w.single.Put(&w.single, object(letter))
		return w.freed
	}
}

func add(delta int64) func(*world) string {
	return func(w *world) string {
		w.counter.Add(delta)
		return "added"
	}
}

// look tells what has taken effect so far, without running a section.
func (w *world) look() string {
	if w.counter != nil {
		return fmt.Sprintf("sum %d", w.counter.Value())
	}
	var lens []int
	slabs, _ := w.stack.Slabs()
	for slab := range slabs {
		if n := w.stack.Len(slab, w.class); n > 0 {
			lens = append(lens, n)
		}
	}
	zeroed := 0
	for _, object := range objects {
		if object == 0 {
			zeroed++
		}
	}
	return fmt.Sprintf("lengths %d, %d bytes of headers and slots, %d objects zeroed", lens, w.stack.Footprint(), zeroed)
}

// end empties the arena and returns what was left in it, oldest first.
func (w *world) end() (left string) {
	if w.counter != nil {
		return strconv.FormatInt(w.counter.Value(), 10)
	}
	newestFirst := []byte(popBatch(len(objects))(w))
	slices.Reverse(newestFirst)
	left = string(newestFirst)
	slabs, _ := w.stack.Slabs()
	for slab := range slabs {
		if n := w.stack.Len(slab, w.class); n > 0 {
			left += fmt.Sprintf(" and %d in slab %d", n, slab)
		}
	}
	return left
}
