//go:build cgo

package rseqcs

// With CGO_ENABLED=1 the tests are to run on the C library's areas, as they do
// in any program with C code; the tests themselves need none.
import _ "runtime/cgo"
