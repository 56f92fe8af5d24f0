// Package rseqcs holds the critical sections: the few operations on per-vCPU
// memory that need no lock and no atomic instruction, because the kernel sends
// a thread that it interrupts inside one back to the start.
//
// These are sharp tools. Package alloc is made of them; use them directly for
// a free list or a counter that many goroutines hit at once.
//
// # How a section works
//
// A thread announces a section by storing the address of its descriptor into
// its rseq area (START). It reads its id, works on the memory of that id alone,
// and makes its work visible with one store (COMMIT), the last instruction. If
// the kernel preempts the thread, moves it or delivers a signal to it in
// between, it resumes at the abort label (ABORT), from where the section starts
// again. So whoever runs on an id finds the work of others on this id either
// done or not begun.
//
// Each section exists once as text per architecture (sections_amd64.h,
// sections_arm64.h), and as five functions: for an area of ours or of libc, for
// mm_cid or cpu_id as the index, and, where no section can run, by the P of Go.
// The last one needs no help of the kernel, since Go preempts no assembly. The
// same operations exist in plain Go for other architectures (assigned.go).
//
// # Tests
//
// A section that is hardly ever interrupted passes every stress test, whatever
// is wrong with it. The build tag vcpualloc_stalled puts numbered points between
// the steps (points_linux.go): a delay, and a place at which a test can hold a
// thread until it has interrupted it. Its tests fail when a point saw no abort.
// That they can fail at all is shown by internal/mutants.
package rseqcs
