package alloc

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkRegion allocates n blocks and frees all of them at once; the time is
// that of one block.
func BenchmarkRegion(b *testing.B) {
	const count = 1000
	a := open(b, Options{})
	for _, size := range []int{16, 64, 256, 1024} {
		r := NewRegion(a, RegionOptions{})
		blocks := make([][]byte, count)
		for _, peer := range []struct {
			name  string
			alloc func(n int) ([]byte, error)
			reset func()
		}{
			{"region", r.Bytes, r.Reset},
			{"region-uninit", r.BytesUninit, r.Reset},
			{"alloc", a.Alloc, func() { a.FreeBatch(blocks) }},
			{"alloc-uninit", a.AllocUninit, func() { a.FreeBatch(blocks) }},
			{"make", func(n int) ([]byte, error) { return make([]byte, n), nil }, func() { clear(blocks) }},
		} {
			b.Run(fmt.Sprintf("impl=%s/size=%d", peer.name, size), func(b *testing.B) {
				i := 0
				for b.Loop() {
					block, err := peer.alloc(size)
					if err != nil {
						b.Fatal(err)
					}
					blocks[i] = block
					if i++; i == count {
						peer.reset()
						i = 0
					}
				}
				if i > 0 {
					clear(blocks[i:])
					peer.reset()
				}
				clear(blocks)
			})
		}
		r.Release()
	}
}

// BenchmarkRegionCall is the price of one call, without anything that is done
// with the block.
func BenchmarkRegionCall(b *testing.B) {
	r := NewRegion(open(b, Options{}), RegionOptions{})
	defer r.Release()
	const perReset = 1 << 10
	b.Run("call=Bytes/size=64", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			if i%perReset == 0 {
				r.Reset()
			}
			r.Bytes(64)
		}
	})
	b.Run("call=BytesUninit/size=64", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			if i%perReset == 0 {
				r.Reset()
			}
			r.BytesUninit(64)
		}
	})
	b.Run("call=RegionNew/size=48", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			if i%perReset == 0 {
				r.Reset()
			}
			RegionNew[plain](r)
		}
	})
	b.Run("call=RegionAppend/size=8", func(b *testing.B) {
		var s []int64
		for i := 0; i < b.N; i++ {
			if i%perReset == 0 {
				r.Reset()
				s = nil
			}
			s, _ = RegionAppend(r, s, int64(i))
		}
	})
	b.Run("call=sync.Pool/size=64", func(b *testing.B) {
		pool := sync.Pool{New: func() any { return new([64]byte) }}
		for i := 0; i < b.N; i++ {
			pool.Put(pool.Get())
		}
	})
}
