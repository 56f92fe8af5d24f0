// Package modes is tests only: they build real programs and run them in real
// environments, and check the mode, its owner and its reason.
//
// Each row of rows_linux_test.go is a way to build (static, position-independent,
// cgo, race, stripped, unoptimised, …) and a way to run (a seccomp filter, one
// CPU, a setting in the environment, …). What must come out is computed from
// what this machine has, without package vcpu: the auxiliary vector, and the
// symbols of the C library that the program was linked against. So the rows are
// right on any kernel.
//
//	report      what the program does: the features, and two short games
//	probe       the program
//	cgoprobe    the same with a C function, so that the C library starts the threads
//	library     the same as a C library
//	host        the C program around it, whose threads take half of the turns
//	plugin      the same as a plugin
//	pluginhost  the program that loads it
//	filter      seccomp filters that refuse system calls
//	deny        runs a program under one
//
// The guards of guards_linux_test.go are what this module leans on outside of any
// promise. Each is made to fail by an edit of the source, for one build.
//
// With VCPUALLOC_TOOLCHAINS set to a list such as "go1.25 go1.27.4" the program
// is also built with each of these toolchains ("make toolchains"), and with
// VCPUALLOC_EVERY_ROW=1 in more ways.
package modes
