package alloc

import "testing"

// BenchmarkTyped is a pair of one typed object.
func BenchmarkTyped(b *testing.B) {
	a := open(b, Options{})
	b.Run("call=NewOf/size=48", func(b *testing.B) { typedPair[plain](b, a) })
	b.Run("call=NewOf/size=64", func(b *testing.B) { typedPair[[64]byte](b, a) })
	b.Run("call=NewOf/size=8", func(b *testing.B) { typedPair[int64](b, a) })
	b.Run("call=Alloc/size=64", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			block, _ := a.Alloc(64)
			a.Free(block)
		}
	})
}

func typedPair[T any](b *testing.B, a *Allocator) {
	for i := 0; i < b.N; i++ {
		p, _ := NewOf[T](a)
		FreeOf(a, p)
	}
}
