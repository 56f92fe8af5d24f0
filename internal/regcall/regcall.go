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
// arguments in registers, integers and pointers only. F must be a func type
// with at most four arguments and one result, all of one word.
func Of[F any](entry unsafe.Pointer) F {
	value := &struct{ code unsafe.Pointer }{entry}
	return *(*F)(unsafe.Pointer(&value))
}

// Works reports whether a call through Of passes arguments 1 to 4 and the
// result in the registers that the assembly expects.
var Works = sync.OnceValue(func() bool {
	return supported && agrees(Of[func(a, b, c, d uintptr) uintptr](mixEntry()))
})

// agrees reports whether call passes its arguments and result as mix does.
func agrees(call func(a, b, c, d uintptr) uintptr) bool {
	const a, b, c, d = 0x1111, 0x2222_0000, 0x3333 << (bits.UintSize / 2), 0x4444
	return call(a, b, c, d) == mix(a, b, c, d)
}

// mix is what the assembly of mixEntry computes: each argument counts
// differently, so that no exchange of two goes unseen.
func mix(a, b, c, d uintptr) uintptr { return a + 2*b + 4*c + 8*d }
