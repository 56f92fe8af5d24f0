// Package workload is what a child process of the bench runs: one shape of
// work done by one peer, measured once.
//
// A heap is a concrete type with two methods, alloc(n) []byte and free(b); a
// peer is a heap with a name, in the table of peers.go. A shape says how many
// goroutines there are and what one step of each does, in the table of
// shapes.go. The engine lets the workers prepare, runs them for the warm-up,
// then for the measured time between two readings of the meter, and lets them
// give everything back.
//
// # How a peer is called, and what that costs
//
// The loops are written once, as generic functions over a heap, in loops.go. Go
// compiles such a function once per memory layout and calls the heap's methods
// through a dictionary, which cannot be inlined: a pair that does nothing then
// costs 4 ns, as it does through an interface or func values, and 1 ns with
// direct calls (BenchmarkDispatch). So package specialise writes the loops out
// for each heap type into zloops.go, with direct calls that the compiler
// inlines where it would in a user's program. A shape reaches the loops of its
// peer through the interface loops, one indirect call per step of at least 64
// operations. The peer "empty" goes the same way and hands out the same bytes
// over and over: its figure is what the harness costs, for which each shape has
// a limit.
//
// Heaps that can do more than allocate and free have loops of their own
// (fullHeap, manyHeap, droppingHeap), and a peer says what it lacks.
//
// The native side, ../../native/src, has the same shapes. Who changes one changes
// the other.
package workload

//go:generate go run generate.go
