// Command library is probe as a C library: host/host.c is the program around
// it, whose threads take part in the games.
package main

import "C"

import "github.com/vcpualloc/vcpualloc/internal/modes/report"

// turns are what goroutines want to be done on threads that C has made.
var turns = make(chan func())

// Report is probe's main function.
//
//export Report
func Report() C.int {
	defer close(turns)
	return C.int(report.Main(turns))
}

// Turn does one turn on the thread of its caller, and returns 0 when all is over.
//
//export Turn
func Turn() C.int {
	turn, more := <-turns
	if !more {
		return 0
	}
	turn()
	return 1
}

func main() {}
