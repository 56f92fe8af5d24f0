// Package rseq is the kernel's side of restartable sequences as this module
// uses it: the layout of struct rseq, the area of the running thread, and the
// descriptors of critical sections. It decides nothing about modes; package
// vcpu does.
//
// # The area of a thread
//
// The kernel writes the ids of a running thread into a small structure that
// belongs to the thread. Goroutines move between threads, so the address is
// looked up anew in every section, inside one NOSPLIT assembly function: Go
// does not preempt assembly, hence the thread cannot change in between.
//
// Where the address is kept depends on who registered the area:
//
//   - Nobody but us (a program without cgo). On amd64 the runtime points FS at
//     &m.tls[1] and keeps g in m.tls[0]; the other words are spare, and zero in
//     a new M. One of them holds the pointer, so zero means "not registered
//     yet". On arm64 the pointer is in TPIDR_EL0, which a program without cgo
//     never touches. clone(2) hands it on to the child, so the area names its
//     owner M and the reader compares.
//   - glibc (a program with cgo): the thread pointer plus __rseq_offset, a
//     symbol that is read from the ELF file of the loaded libc.
//
// All this is outside of the language's promise. Find checks every assumption
// once, and a failed check leaves Owner at None with a Reason.
package rseq
