// Package regcall calls an assembly function with its arguments in registers.
//
// Outside of the runtime an assembly function has the stack-based convention
// (ABI0), and a call from Go goes through a wrapper that stores and loads every
// argument: 1.2 ns, half of a pop. A Go func value, though, is a pointer to a
// word with a code address, and is called with arguments in registers. A func
// value that is made with the address of the assembly itself skips the wrapper.
//
// That convention is the toolchain's own and may change, so Works checks every
// register that this module's sections rely on, once. Where it says no, the
// sections are called through Call, the ABI0 form.
package regcall

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Of returns a func value of type F that runs the code at entry with the
// arguments in registers. F must be a func type with at most four words of
// arguments and five of results, integers, pointers, slices and interfaces only.
// Results 2 to 4 are in the registers of arguments 2 to 4, so the code returns an
// argument by leaving it alone. The code finds the func value itself in the
// register for closures, and may go on in another function of type F by a jump.
func Of[F any](entry unsafe.Pointer) F {
	value := &struct{ code unsafe.Pointer }{entry}
	return *(*F)(unsafe.Pointer(&value))
}

// Works reports whether a call through Of passes arguments and results in the
// registers that the assembly expects.
var Works = sync.OnceValue(func() bool {
	return supported && agrees(Of[mixFunc](mixEntry())) && takesSlices(Of[sliceFunc](mixEntry())) &&
		givesSlices(Of[blockFunc](echoEntry())) && hasContext(Of[contextFunc](contextEntry()))
})

type (
	mixFunc     = func(a, b, c, d uintptr) (mixed, _, _, _ uintptr)
	sliceFunc   = func(a uintptr, s []byte) (mixed uintptr, _ unsafe.Pointer, _, _ uintptr)
	blockFunc   = func(p unsafe.Pointer, length, capacity, table, data uintptr) ([]byte, error)
	contextFunc = func() unsafe.Pointer
)

// agrees reports whether call passes its arguments and results as mix does.
func agrees(call mixFunc) bool {
	const a, b, c, d = 0x1111, 0x2222_0000, 0x3333 << (bits.UintSize / 2), 0x4444
	gotA, gotB, gotC, gotD := call(a, b, c, d)
	wantA, wantB, wantC, wantD := mix(a, b, c, d)
	return gotA == wantA && gotB == wantB && gotC == wantC && gotD == wantD
}

// takesSlices reports whether the words of a slice are arguments two to four.
func takesSlices(call sliceFunc) bool {
	var array [8]byte
	s := array[:3]
	got, p, length, capacity := call(1, s)
	want, _, _, _ := mix(1, uintptr(unsafe.Pointer(&array)), 3, 8)
	return got == want && p == unsafe.Pointer(&array) && length == 3 && capacity == 8
}

// givesSlices reports whether the words of a slice and of an error are the five
// results. call leaves the registers of its arguments alone.
func givesSlices(call blockFunc) bool {
	var array [8]byte
	s, err := call(unsafe.Pointer(&array), 3, 8, 0, 0)
	return unsafe.SliceData(s) == &array[0] && len(s) == 3 && cap(s) == 8 && err == nil
}

// hasContext reports whether a called func value finds its own address in the
// register for closures. call returns that register.
func hasContext(call contextFunc) bool {
	return call() == *(*unsafe.Pointer)(unsafe.Pointer(&call))
}

// mix is what the assembly of mixEntry does: each argument counts differently
// in the sum, so that no exchange of two goes unseen.
func mix(a, b, c, d uintptr) (mixed, _, _, _ uintptr) { return a + 2*b + 4*c + 8*d, b, c, d }
