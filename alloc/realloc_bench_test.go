package alloc

import (
	"fmt"
	"testing"
)

// BenchmarkRealloc is one block from its birth over all lengths to its end.
func BenchmarkRealloc(b *testing.B) {
	const first, doubledTo, addedTo, addend = 16, 1 << 20, 16 << 10, 64 // bytes
	a := open(b, Options{})
	grow := func(b *testing.B, realloc func([]byte, int) ([]byte, error), last int, next func(n int) int) {
		for b.Loop() {
			block, err := a.AllocUninit(first)
			for n := first; n < last && err == nil; {
				n = next(n)
				block, err = realloc(block, n)
			}
			if err != nil {
				b.Fatal(err)
			}
			a.Free(block)
		}
	}
	double := func(n int) int { return 2 * n }
	add := func(n int) int { return n + addend }
	b.Run(fmt.Sprintf("call=ReallocUninit/by=doubling/to=%d", doubledTo), func(b *testing.B) {
		grow(b, a.ReallocUninit, doubledTo, double)
	})
	for name, realloc := range map[string]func([]byte, int) ([]byte, error){"Realloc": a.Realloc, "ReallocUninit": a.ReallocUninit} {
		b.Run(fmt.Sprintf("call=%s/by=doubling/to=%d", name, addedTo), func(b *testing.B) { grow(b, realloc, addedTo, double) })
		b.Run(fmt.Sprintf("call=%s/by=adding/to=%d", name, addedTo), func(b *testing.B) { grow(b, realloc, addedTo, add) })
	}
}
