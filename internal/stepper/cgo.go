//go:build cgo

package main

// Built with cgo, the program is to run on the C library's areas, as any program
// with C code does; it has none of its own.
import _ "runtime/cgo"
