// Package alloc is memory outside of the Go heap, as []byte in and out.
//
//	b, err := alloc.Default().Alloc(4096)
//	...
//	alloc.Default().Free(b)
//
// A block lives until it is freed: the garbage collector neither sees it nor
// scans it nor counts it, which is the point. Its rules are those of manual
// memory. A block must not be used after Free, and a Go pointer stored in one
// does not keep anything alive; the typed calls refuse a type that has any.
//
// Any goroutine may free what any other has allocated. In the common case
// neither takes a lock or an atomic instruction: each virtual CPU of the
// process has free blocks of its own, which restartable sequences guard.
// vcpu.Probe tells whether that is so on the running kernel, and why not.
package alloc
