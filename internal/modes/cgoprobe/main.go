// Command cgoprobe is probe in a program with C code.
package main

// static int one(void) { return 1; }
import "C"

import (
	"os"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
)

func main() {
	if C.one() != 1 {
		panic("C is not what it was")
	}
	os.Exit(report.Main(nil))
}
