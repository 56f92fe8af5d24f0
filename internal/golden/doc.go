// Package golden is a test only: it keeps count of the instructions of the fast
// paths, on both architectures, in the files of testdata. A change of a section
// shows there, as a figure that does not depend on the machine.
//
//	go test ./internal/golden           # compares
//	go test ./internal/golden -update   # writes the files anew
//
// A count is that of the straight path: from the first instruction of the
// function on, no conditional jump is taken, up to the return. The sections are
// laid out so that this is what runs when nothing is out of the ordinary, with a
// size of at most rseqcs.FineUpTo; of a block that is cleared, one of 64 bytes.
package golden
