//go:build amd64 || arm64

package main

import (
	"fmt"
	"slices"
	"strconv"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

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

const (
	objectSize = 8

	// coarse is a size that is looked up in the other table, for objects of objectSize
	// bytes: what lies behind them is not used.
	coarse = 2048
)

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
		class := uint8(w.class)
		blockTable.Fine[objectSize>>rseqcs.FineShift], blockPages[0] = class, rseqcs.EntryOf(class, 0)
		blockTable.Coarse[coarse>>rseqcs.CoarseShift] = class
		blockTable.Sizes[class], blockTable.Factors[class], blockTable.Bounds[class] = objectSize, 1<<61, 1
		slow := func(_ *rseqcs.Blocks, n int) ([]byte, error) {
			if object := w.stack.Pop(w.class); object != nil {
				return unsafe.Slice((*byte)(object), objectSize), nil
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
				w.putBack(unsafe.Pointer(unsafe.SliceData(block)))
			},
		})
		for i := range objects {
			objects[i] = ^uint64(0)
		}
	}
}

// putBack is the slow way of a free or put.
func (w *world) putBack(place unsafe.Pointer) {
	w.freed = "refused"
	if offset := uintptr(place) - uintptr(unsafe.Pointer(objects)); offset < unsafe.Sizeof(*objects) && offset%objectSize == 0 {
		w.freed = outcomeNames[w.stack.Push(w.class, place)]
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
			Put: func(_ *rseqcs.Single, object unsafe.Pointer) { w.putBack(object) },
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

func alloc(w *world) string       { return w.allocOf(objectSize) }
func allocCoarse(w *world) string { return w.allocOf(coarse) }
func allocLarge(w *world) string  { return w.allocOf(rseqcs.MaxSmall + 1) }

func (w *world) allocOf(size int) string {
	block, _ := w.blocks.Alloc(&w.blocks, size)
	return letter(unsafe.Pointer(unsafe.SliceData(block)))
}

func allocZeroed(w *world) string       { return w.allocZeroedOf(objectSize) }
func allocZeroedCoarse(w *world) string { return w.allocZeroedOf(coarse) }
func allocZeroedLarge(w *world) string  { return w.allocZeroedOf(rseqcs.MaxSmall + 1) }

func (w *world) allocZeroedOf(size int) string {
	block, _ := w.blocks.AllocZeroed(&w.blocks, size)
	place := unsafe.Pointer(unsafe.SliceData(block))
	if place != nil && *(*uint64)(place) != 0 {
		return letter(place) + " not zeroed"
	}
	return letter(place)
}

func free(letter byte) func(*world) string { return freeOf(letter, 0, objectSize) }

// freeOf frees what lies so far behind the begin of an object, as a block of a size.
func freeOf(letter byte, behind uintptr, size int) func(*world) string {
	return func(w *world) string {
		w.freed = outcomeNames[rseqcs.Pushed]
		w.blocks.Free(&w.blocks, unsafe.Slice((*byte)(unsafe.Add(object(letter), behind)), size))
		return w.freed
	}
}

func get(w *world) string {
	object, _ := w.single.Get(&w.single)
	return letter(object)
}

func put(letter byte) func(*world) string { return putAt(letter, 0) }

func putAt(letter byte, behind uintptr) func(*world) string {
	return func(w *world) string {
		w.freed = outcomeNames[rseqcs.Pushed]
		w.single.Put(&w.single, unsafe.Add(object(letter), behind))
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
