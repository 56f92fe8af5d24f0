//go:build race

package race

import (
	"runtime"
	"unsafe"
)

// Enabled tells whether the program is built with the race detector.
const Enabled = true

// Give says that what the caller did with the object so far comes before what
// anybody does who takes it.
func Give(object unsafe.Pointer) { runtime.RaceReleaseMerge(object) }

// Take says that the caller has the object now.
func Take(object unsafe.Pointer) { runtime.RaceAcquire(object) }
