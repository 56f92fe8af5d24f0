//go:build amd64 || arm64

package regcall

import "unsafe"

const supported = true

// mixEntry returns the address of assembly that computes mix.
func mixEntry() unsafe.Pointer

// echoEntry returns the address of assembly that changes no register.
func echoEntry() unsafe.Pointer

// contextEntry returns the address of assembly that returns the register for closures.
func contextEntry() unsafe.Pointer

// Call runs the code at entry, which expects its arguments in registers, from
// an ABI0 frame: the form that does not depend on the toolchain's convention.
//
//go:noescape
func Call(entry unsafe.Pointer, a unsafe.Pointer, b uintptr, c unsafe.Pointer, d uintptr) unsafe.Pointer
