package stress

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// SectionsAreIgnored reports whether the running kernel is one of those that register
// rseq and abort no section: 6.19 and 7.0 on arm64 (docs/rseq.md). On any other one a
// failed self-test is a fault of ours.
func SectionsAreIgnored() bool {
	var name unix.Utsname
	var major, minor int
	if runtime.GOARCH != "arm64" || unix.Uname(&name) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major == 6 && minor == 19 || major == 7 && minor == 0
}
