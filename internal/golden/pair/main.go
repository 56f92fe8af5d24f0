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

// typed is the same with typed calls.
//
//go:noinline
func typed(a *alloc.Allocator, r *alloc.Region) {
	p, err := alloc.NewOf[uint64](a)
	if err != nil {
		panic(err)
	}
	alloc.FreeOf(a, p)
	if _, err = alloc.RegionNew[uint64](r); err != nil {
		panic(err)
	}
	if _, err = r.Bytes(8); err != nil {
		panic(err)
	}
}

func main() {
	pair(alloc.Default())
	typed(alloc.Default(), alloc.NewRegion(alloc.Default(), alloc.RegionOptions{}))
}
