package rseqcs

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/race"
	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Stack is a bounded LIFO of addresses for each vCPU and class: what one
// goroutine pushes, any goroutine pops that runs on the same vCPU, in most
// cases without a lock or an atomic instruction. A Stack holds addresses of
// memory outside the Go heap; it does not keep Go memory alive.
//
// All methods but Close may be called from any goroutine. NewStack makes a Stack: the
// zero value has no classes and no slabs, so that methods which use one panic.
type Stack struct {
	base      unsafe.Pointer // of the row of slabs that run works on: vcpus or ps
	vcpus     unsafe.Pointer // the row of the vCPUs; see limits.go for the layout
	ps        unsafe.Pointer // the row of the Ps
	vcpuSlabs int            // slabs in each
	pSlabs    int
	classes   []classSlots
	memory    osmem.Range

	// onPs is how many operations of threads that cannot run sections are under way
	// on the slabs of the Ps, where the vCPUs have slabs too (Stack.stop). Atomic.
	onPs int32

	isShut bool // written by Shut, read by resume, which never run at the same time
}

// classSlots is where the slots of a class lie in every slab, in bytes.
//
//	slab[begin-slotSize] == nil: the end mark of pop
//	begin <= current <= last, begin <= end <= last
type classSlots struct {
	begin, first, last uint32 // first and last: the end at the start, and at the most
}

// Capacity bounds one class, in objects for each vCPU: Initial at the start,
// Max after calls of Grow.
type Capacity struct {
	Initial, Max int
}

// Outcome is what became of a Push.
type Outcome uintptr

const (
	Pushed    Outcome = pushed
	Full      Outcome = full      // the stack of this vCPU has no room, or is being drained
	Duplicate Outcome = duplicate // the object is the newest one already
)

// NewStack returns an empty Stack with one class for each capacity. The name
// appears in /proc/self/maps. It reserves 256 KiB of address space for each
// vCPU id; memory is taken by the vCPUs that run.
func NewStack(name string, capacities []Capacity) (*Stack, error) {
	prepare()
	s := &Stack{pSlabs: rowOfPs()}
	if sections {
		s.vcpuSlabs = vcpu.Max()
	}
	if err := s.layOut(capacities); err != nil {
		return nil, err
	}
	size, err := addressesFor(s.vcpuSlabs + s.pSlabs)
	if err != nil {
		return nil, err
	}
	memory, err := osmem.Reserve(size, name+" slabs")
	if err != nil {
		return nil, fmt.Errorf("rseqcs: %w", err)
	}
	if err := memory.Back(size); err != nil {
		err = osmem.Explain(err)
		memory.Unmap()
		return nil, fmt.Errorf("rseqcs: %w", err)
	}
	s.memory = memory
	s.vcpus = unsafe.Add(memory.Base, osmem.Granule)
	s.ps = unsafe.Add(s.vcpus, s.vcpuSlabs*slabSize+osmem.Granule)
	*rowCount(s.vcpus), *rowCount(s.ps) = uint32(s.vcpuSlabs), uint32(s.pSlabs)
	s.base = s.ps
	if sections {
		s.base = s.vcpus
	}
	return s, nil
}

// addressesFor returns the bytes of addresses that both rows take. On 32 bits the
// slabs for a large GOMAXPROCS do not fit.
func addressesFor(slabs int) (uintptr, error) {
	const most = (math.MaxInt - 2*osmem.Granule) / slabSize
	if slabs > most {
		return 0, fmt.Errorf("rseqcs: %d slabs of %d bytes, the addresses suffice for %d; lower GOMAXPROCS", slabs, slabSize, most)
	}
	return uintptr(2*osmem.Granule + slabs*slabSize), nil
}

// rowOfPs returns how many Ps there is a slab or cell for.
func rowOfPs() int {
	n := max(vcpu.Max(), runtime.GOMAXPROCS(0))
	if !sections {
		n = max(n, minPs)
	}
	return n
}

// layOut places the slots of every class.
func (s *Stack) layOut(capacities []Capacity) error {
	if len(capacities) > MaxClasses {
		return fmt.Errorf("rseqcs: %d classes, at most %d fit", len(capacities), MaxClasses)
	}
	at := offsetSlots
	for class, c := range capacities {
		if c.Initial < 0 || c.Max < c.Initial {
			return fmt.Errorf("rseqcs: class %d: capacity %d, at most %d", class, c.Initial, c.Max)
		}
		if c.Max > slabSize/slotSize { // so that no sum below overflows
			return fmt.Errorf("rseqcs: class %d: capacity %d, a slab has %d slots", class, c.Max, slabSize/slotSize)
		}
		at += slotSize // the end mark
		s.classes = append(s.classes, classSlots{uint32(at), uint32(at + c.Initial*slotSize), uint32(at + c.Max*slotSize)})
		at += c.Max * slotSize
	}
	// The last word stays nil: it is the one below offset 0 of the next slab.
	if at > slabSize-slotSize {
		return fmt.Errorf("rseqcs: the capacities need %d bytes of a slab, it has %d", at, slabSize-slotSize)
	}
	return nil
}

// Pop removes and returns the newest object of the class on this vCPU, or nil. A
// pair of Pop and Push takes half the time of sync.Pool's
// (docs/performance.md). A class or a slab that the stack does not have panics, here and
// below.
func (s *Stack) Pop(class int) unsafe.Pointer {
	_ = s.classes[class]
	object, _, _ := run.pop(s.base, uintptr(class), 0)
	if object == nil && isUnprepared() {
		o, base := s.enter()
		object, _, _ = o.pop(base, uintptr(class), 0)
		s.leave(o)
	}
	if race.Enabled && object != nil {
		race.Take(object)
	}
	return object
}

// Push adds an object to the class on this vCPU. object must not be nil. Where there
// is room it says Full in two cases: while the Stack is being drained, and when the
// thread was interrupted some hundred times in a row.
func (s *Stack) Push(class int, object unsafe.Pointer) Outcome {
	_ = s.classes[class]
	if race.Enabled {
		race.Give(object)
	}
	result, _, _, _ := run.push(s.base, uintptr(class), object, nil)
	if result == unserved {
		result = s.pushSlow(class, object)
	}
	return Outcome(result)
}

// pushSlow prepares the thread and the class. Whether setUp had to do anything does
// not matter: another thread may have done it meanwhile.
func (s *Stack) pushSlow(class int, object unsafe.Pointer) uintptr {
	for range pushTries {
		o, base := s.enter()
		s.setUp(o, base, class)
		result, _, _, _ := o.push(base, uintptr(class), object, nil)
		s.leave(o)
		if result != unserved {
			return result
		}
	}
	return full
}

// PopBatch removes up to len(into) objects of the class on this vCPU, newest
// first, as one section, and returns how many.
func (s *Stack) PopBatch(class int, into []unsafe.Pointer) int {
	_ = s.classes[class]
	n := s.popInto(&run, s.base, class, into)
	if n == 0 && len(into) > 0 && isUnprepared() {
		o, base := s.enter()
		n = s.popInto(o, base, class, into)
		s.leave(o)
	}
	takeAll(into[:n])
	return n
}

// PushBatch adds the objects to the class on this vCPU, in their order, as one
// section. It returns how many there was room for; Push says when it may be none
// although there is room. An object that is nil panics, and then none is added.
func (s *Stack) PushBatch(class int, objects []unsafe.Pointer) int {
	_ = s.classes[class]
	for i, object := range objects {
		if object == nil { // in a slot it would be the end mark of pop
			panic(fmt.Sprintf("rseqcs: object %d of %d is nil", i, len(objects)))
		}
	}
	if race.Enabled {
		for _, object := range objects {
			race.Give(object)
		}
	}
	n := pushFrom(&run, s.base, class, objects)
	if n == unserved {
		n = s.pushBatchSlow(class, objects)
	}
	return int(n)
}

// pushBatchSlow prepares the thread and the class, as pushSlow does.
func (s *Stack) pushBatchSlow(class int, objects []unsafe.Pointer) uintptr {
	for range pushTries {
		o, base := s.enter()
		s.setUp(o, base, class)
		n := pushFrom(o, base, class, objects)
		s.leave(o)
		if n != unserved {
			return n
		}
	}
	return 0
}

// popInto tells popBatch where the slots of the class begin, in the upper half of the
// count: only the sections use it, on 64 bits.
func (s *Stack) popInto(o *operations, base unsafe.Pointer, class int, into []unsafe.Pointer) int {
	count := uint64(min(len(into), slabSize/slotSize)) | uint64(s.classes[class].begin)<<32
	return int(o.popBatch(base, uintptr(class), hide(unsafe.SliceData(into)), uintptr(count)))
}

func pushFrom(o *operations, base unsafe.Pointer, class int, objects []unsafe.Pointer) uintptr {
	return o.pushBatch(base, uintptr(class), hide(unsafe.SliceData(objects)), uintptr(len(objects)))
}

// setUp writes the header of the class in the slab of this vCPU or P, if it is
// missing.
func (s *Stack) setUp(o *operations, base unsafe.Pointer, class int) {
	c := s.classes[class]
	o.setHeader(base, uintptr(class), nil, uint64(c.begin)|uint64(c.first)<<32)
}

// takeAll tells the race detector that the caller has the objects.
func takeAll(objects []unsafe.Pointer) {
	if race.Enabled {
		for _, object := range objects {
			race.Take(object)
		}
	}
}

// isUnprepared reports whether the running thread may have found nothing for the
// reason that it does not run sections, or not yet.
func isUnprepared() bool { return sections && int32(rseq.Field(rseq.OffsetCPUID)) < 0 }

// enter returns the operations that the running thread can use, and the row they
// work on; see operationsHere. The caller calls leave when it has run them: an
// operation on the slabs of the Ps is counted before it looks at their number, and
// until it has stored, so that stop knows of it.
func (s *Stack) enter() (*operations, unsafe.Pointer) {
	o := operationsHere()
	if o == &pinned {
		atomic.AddInt32(&s.onPs, 1)
		return o, s.ps
	}
	return o, s.base
}

// leave ends what enter began.
func (s *Stack) leave(o *operations) {
	if o == &pinned {
		atomic.AddInt32(&s.onPs, -1)
	}
}

// operationsHere returns the operations that the running thread can use, and
// registers it if need be. The goroutine may change threads right afterwards;
// then the operation finds nothing there, and its caller tries again or takes
// another way.
func operationsHere() *operations {
	if sections && !rseq.EnsureThread() {
		fallbacks.Add(1)
		return &pinned
	}
	return &run
}

// Grow raises the capacity of the class on the vCPU that runs now by up to
// count objects, as far as its maximum, and reports whether there is more room.
func (s *Stack) Grow(class, count int) bool { return s.Extend(s.Here(), class, count) > 0 }

// Extend raises the capacity of the class in a slab by up to count objects, as far as
// its maximum, and returns by how many. Of Extend, Shrink and Idle.Drain at the same time
// each tells what it has changed itself.
func (s *Stack) Extend(slab, class, count int) int {
	h := s.header(slab, class)
	now, last := h.load(), s.classes[class].last
	if now.current == 0 {
		return 0 // not set up: its first end is still to be written
	}
	if now.end >= last {
		return 0
	}
	more := min(max(0, count), int(last-now.end)/slotSize)
	if !atomic.CompareAndSwapUint32(&h.end, now.end, now.end+uint32(more*slotSize)) {
		return 0
	}
	return more
}

// Shrink lowers the capacity of the class in a slab by up to count objects, not
// below the initial one, and returns by how many. It takes no object away: one
// that is above the new capacity stays until it is popped, and until then the
// class is full.
func (s *Stack) Shrink(slab, class, count int) int {
	h, c := s.header(slab, class), &s.classes[class]
	end := atomic.LoadUint32(&h.end)
	if end <= c.first {
		return 0
	}
	less := min(max(0, count), int(end-c.first)/slotSize)
	if !atomic.CompareAndSwapUint32(&h.end, end, end-uint32(less*slotSize)) {
		return 0
	}
	return less
}

// Capacity returns how many objects of the class a slab has room for at this
// moment, and at the most: 0 and 0 as long as nothing was pushed there.
func (s *Stack) Capacity(slab, class int) (now, most int) {
	h, c := s.header(slab, class).load(), &s.classes[class]
	if h.current == 0 {
		return 0, 0
	}
	return int(h.end-c.begin) / slotSize, int(c.last-c.begin) / slotSize
}

// Here returns the index of the slab that the running thread works on: a hint,
// since it may go on on another vCPU at once.
func (s *Stack) Here() int {
	if sections && rseq.EnsureThread() {
		return vcpu.Current()
	}
	p := procpin.Pin()
	procpin.Unpin()
	return s.vcpuSlabs + min(p, s.pSlabs-1)
}

// idHere returns the id by which the running thread finds its slab in the row that run
// works on: a hint, as that of Here.
func idHere() int {
	if sections {
		return vcpu.Current()
	}
	p := procpin.Pin()
	procpin.Unpin()
	return p
}

// header returns the header of a class in a slab. It panics for numbers that the stack
// does not have: they come from its callers.
func (s *Stack) header(slab, class int) *header {
	if uint(slab) >= uint(s.vcpuSlabs+s.pSlabs) {
		panic(fmt.Sprintf("rseqcs: slab %d of a stack with %d", slab, s.vcpuSlabs+s.pSlabs))
	}
	if uint(class) >= uint(len(s.classes)) {
		panic(fmt.Sprintf("rseqcs: class %d of a stack with %d", class, len(s.classes)))
	}
	return headerAt(s.slab(slab), uintptr(class))
}

// slab returns the slab with the given index: those of the vCPUs come first.
func (s *Stack) slab(index int) unsafe.Pointer {
	if index < s.vcpuSlabs {
		return slabAt(s.vcpus, index)
	}
	return slabAt(s.ps, index-s.vcpuSlabs)
}

// Slabs returns the number of slabs: one for each vCPU id, then one for each P.
func (s *Stack) Slabs() (total, vcpus int) { return s.vcpuSlabs + s.pSlabs, s.vcpuSlabs }

// Len returns how many objects of the class a slab holds at this moment. It
// stops nobody; a slab in use has another number at once.
func (s *Stack) Len(slab, class int) int {
	current := atomic.LoadUint32(&s.header(slab, class).current)
	if current == 0 {
		return 0
	}
	return int(current-s.classes[class].begin) / slotSize
}

// Footprint returns how many bytes of the slabs were ever used, about: the
// slots of the classes that a vCPU or P has set up, as far as their ends.
func (s *Stack) Footprint() (bytes int64) {
	for slab := range s.vcpuSlabs + s.pSlabs {
		bytes += s.footprint(slab)
	}
	return bytes
}

// Used returns how many slabs were ever used: those of the vCPUs, and of the Ps, on which
// the magazine of some class was set up.
func (s *Stack) Used() (slabs int) {
	for slab := range s.vcpuSlabs + s.pSlabs {
		if s.footprint(slab) > 0 {
			slabs++
		}
	}
	return slabs
}

// footprint is Footprint of one slab: 0 if it was never used.
func (s *Stack) footprint(slab int) (bytes int64) {
	for class, c := range s.classes {
		h := headerAt(s.slab(slab), uintptr(class)).load()
		if h.current == 0 {
			continue
		}
		if bytes == 0 {
			bytes = int64(len(s.classes) * headerSize)
		}
		bytes += int64(h.end - c.begin)
	}
	return bytes
}

// Reserved returns the address space that the stack takes, in bytes.
func (s *Stack) Reserved() int64 { return int64(s.memory.Size) }

// Close gives the memory of the stack back. No other method may run meanwhile or
// later.
func (s *Stack) Close() error {
	if err := s.memory.Unmap(); err != nil {
		return fmt.Errorf("rseqcs: %w", err)
	}
	return nil
}

// hide keeps an array of the caller on its stack: the operations are called
// through variables, of which the compiler must assume the worst. None of them
// keeps the pointer. Nobody else may either: what hide returns is an argument of the
// very next call and nothing more, since the compiler may hold it as a number, which
// is not corrected when a call in between moves the stack.
//
//go:nosplit
func hide(array *unsafe.Pointer) unsafe.Pointer {
	p := uintptr(unsafe.Pointer(array))
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}
