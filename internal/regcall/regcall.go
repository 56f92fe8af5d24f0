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
// with at most four arguments and four results, all of one word. Results 2 to 4
// are in the registers of arguments 2 to 4, so the code returns an argument by
// leaving it alone.
func Of[F any](entry unsafe.Pointer) F {
	value := &struct{ code unsafe.Pointer }{entry}
	return *(*F)(unsafe.Pointer(&value))
}

// Works reports whether a call through Of passes arguments and results in the
// registers that the assembly expects.
var Works = sync.OnceValue(func() bool {
	return supported && agrees(Of[mixFunc](mixEntry()))
})

type mixFunc = func(a, b, c, d uintptr) (mixed, _, _, _ uintptr)

// agrees reports whether call passes its arguments and results as mix does.
func agrees(call mixFunc) bool {
	const a, b, c, d = 0x1111, 0x2222_0000, 0x3333 << (bits.UintSize / 2), 0x4444
	gotA, gotB, gotC, gotD := call(a, b, c, d)
	wantA, wantB, wantC, wantD := mix(a, b, c, d)
	return gotA == wantA && gotB == wantB && gotC == wantC && gotD == wantD
}

// mix is what the assembly of mixEntry does: each argument counts differently
// in the sum, so that no exchange of two goes unseen.
func mix(a, b, c, d uintptr) (mixed, _, _, _ uintptr) { return a + 2*b + 4*c + 8*d, b, c, d }
