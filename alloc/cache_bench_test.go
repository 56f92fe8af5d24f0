package alloc

import (
	"sync"
	"testing"
)

// BenchmarkCache takes an object and puts it back.
func BenchmarkCache(b *testing.B) {
	a := open(b, Options{})
	c := openCache(b, a, CacheOptions[record]{})
	zero := openCache(b, a, CacheOptions[record]{Zero: true})
	pool := sync.Pool{New: func() any { return new(record) }}
	for _, peer := range []struct {
		name string
		pair func() error
	}{
		{"cache", func() error { p, err := c.Get(); c.Put(p); return err }},
		{"cache-zero", func() error { p, err := zero.Get(); zero.Put(p); return err }},
		{"alloc-uninit", func() error { block, err := a.AllocUninit(64); a.Free(block); return err }},
		{"newof", func() error { p, err := NewOf[record](a); FreeOf(a, p); return err }},
		{"sync.Pool", func() error { pool.Put(pool.Get()); return nil }},
	} {
		b.Run("impl="+peer.name+"/goroutines=1", func(b *testing.B) {
			for b.Loop() {
				if err := peer.pair(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("impl="+peer.name+"/goroutines=GOMAXPROCS", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := peer.pair(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
