package workload

import "testing"

// BenchmarkDispatch shows what the ways to call a peer cost in a pair that does
// nothing; doc.go draws the conclusion.
func BenchmarkDispatch(b *testing.B) {
	const size = 64
	h := emptyHeap{house: new(emptyHouse)}
	for _, way := range []struct {
		name string
		run  func(count int)
	}{
		{"specialised", func(count int) { loops(h).pair(size, count) }},
		{"generic", func(count int) { pairGeneric(h, size, count) }},
		{"interface", func(count int) { pairInterface(h, size, count) }},
		{"function", func(count int) { pairFunction(h.alloc, h.free, size, count) }},
	} {
		b.Run("how="+way.name, func(b *testing.B) { way.run(b.N) })
	}
}

// Each way stands in a function of its own that is not inlined, since the
// compiler would see through the call from the benchmark.

//go:noinline
func pairGeneric[H heap](h H, size, count int) { pair(h, size, count) }

//go:noinline
func pairInterface(h heap, size, count int) {
	for i := range count {
		b := h.alloc(size)
		b[0] = byte(i)
		h.free(b)
	}
}

//go:noinline
func pairFunction(alloc func(int) []byte, free func([]byte), size, count int) {
	for i := range count {
		b := alloc(size)
		b[0] = byte(i)
		free(b)
	}
}
