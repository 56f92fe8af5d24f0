// Command pair is what package golden disassembles.
package main

import "github.com/vcpualloc/vcpualloc/alloc"

// pair is a program's use of the fast paths. They must be inlined into it.
//
//go:noinline
func pair(a *alloc.Allocator) {
	b, err := a.AllocUninit(64)
	if err != nil {
		panic(err)
	}
	a.Free(b)
	if b, err = a.Alloc(64); err != nil {
		panic(err)
	}
	a.Free(b)
}

func main() { pair(alloc.Default()) }
