package rseqcs

import (
	"sync/atomic"
	"unsafe"
)

// Single is the fast path of a cache of objects of one class, as two sections: Blocks
// without the lookup of the class. The objects lie in the range of a Blocks; those
// that are free are in class 0 of a Stack.
//
// What a section cannot serve, it hands to the func value of SlowSingle, as Blocks does.
// All methods but Open may be called from any goroutine.
type Single struct {
	// Open writes all fields. Those of the fast path fill one cache line.

	// Get returns an object, the newest that was Put on this vCPU. Its contents are as
	// they were at that Put. The first argument of both is the Single itself.
	Get getFunc

	// Put takes an object back.
	Put putFunc

	slabs  unsafe.Pointer // as in Blocks
	origin unsafe.Pointer
	pages  uintptr // atomic, see RefusePut
	checks unsafe.Pointer
	test   startTest

	slowGet getFunc
	slowPut putFunc
}

type (
	getFunc = func(s *Single) (unsafe.Pointer, error)
	putFunc = func(s *Single, object unsafe.Pointer)
)

// SlowSingle is what serves the calls that the sections cannot. The first argument of
// each is the Single that was called.
type SlowSingle struct {
	Get func(s *Single) (unsafe.Pointer, error)
	Put func(s *Single, object unsafe.Pointer)
}

// singleClass is the class of the stack that a Single uses.
const singleClass = 0

// Open makes s serve objects of a class of b, out of class 0 of stack. It may run while
// RefuseFree of b does: then s may refuse to Put, too.
func (s *Single) Open(b *Blocks, stack *Stack, class uint8, slow SlowSingle) {
	*s = Single{
		Get: run.get, Put: run.put,
		slabs: stack.base, origin: b.origin, pages: atomic.LoadUintptr(&b.pages), checks: b.checks,
		test:    b.starts[class],
		slowGet: slow.Get, slowPut: slow.Put,
	}
}

// RefusePut leads all later calls of Put to SlowSingle. It may run at any time, and a
// call that has begun may still be served.
func (s *Single) RefusePut() { atomic.StoreUintptr(&s.pages, 0) }

// The sections in parts, as those of Blocks.

func getInParts(s *Single) (unsafe.Pointer, error) {
	if object, _, _ := run.pop(s.slabs, singleClass, 0); object != nil {
		return object, nil
	}
	return s.slowGet(s)
}

func putInParts(s *Single, object unsafe.Pointer) {
	page := (uintptr(object) - uintptr(s.origin)) >> PageShift
	if page < atomic.LoadUintptr(&s.pages) {
		word := *(*CheckWord)(unsafe.Add(s.checks, page*unsafe.Sizeof(CheckWord(0))))
		if s.test.accepts(object, word) {
			if outcome, _, _, _ := run.push(s.slabs, singleClass, object, nil); outcome == pushed {
				return
			}
		}
	}
	s.slowPut(s, object)
}
