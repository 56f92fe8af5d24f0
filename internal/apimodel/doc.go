// Package apimodel compares the whole public API of package alloc with a model of
// what its documentation promises. It has tests only.
//
// A test case is a list of operations, each a plain value: what is done, and four
// numbers that say with which allocator, block, size and variant. pgregory.net/rapid
// makes the lists and, when one fails, reduces it. The model (world) keeps every
// live block of every owner with its address, length, capacity and contents, and
// checks after each operation that
//
//   - no two live blocks, region allocations or cache objects share a byte,
//   - contents are what was written, and zero to the capacity where zero is promised,
//   - a call fails exactly with the documented errors, and leaves everything as it was,
//   - misuse panics with a *MisuseError that names method, address and size,
//   - Stats adds up, its live bytes are those of the model, and no limit is exceeded,
//
// and at the end that everything is back once it is freed and trimmed. Any operation
// may run on another OS thread than the one before, and some run several at once.
//
// The module is a nested one, so that rapid stays out of the core's go.mod.
//
//	make apimodel TIME=10m             ten minutes in each mode and build
//	go test . -timeout 0 -time 10m     in one mode
//	VCPUALLOC_MODE=assigned go test . -timeout 0 -time 10m
//	go test -tags vcpualloc_gomem . -timeout 0 -time 10m     on Go memory
//	go test -tags vcpualloc_faults . -timeout 0 -time 10m    with system calls that fail
//
// A failure prints the reduced operations as Go values. They stay as a test in
// regressions_test.go. The same lists come again with the -rapid.seed that it prints; a
// crash of the process is narrowed down with -rapid.log, which prints each list before
// it runs.
package apimodel
