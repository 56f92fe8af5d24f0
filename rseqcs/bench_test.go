package rseqcs

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// BenchmarkPair takes an object and puts it back.
func BenchmarkPair(b *testing.B) {
	stack, err := NewStack("bench", []Capacity{{8, 8}})
	if err != nil {
		b.Fatal(err)
	}
	defer stack.Close()
	object := unsafe.Pointer(new(token))
	pair := func(o operations, base unsafe.Pointer) func(*testing.B) {
		return func(b *testing.B) {
			stack.setUp(&o, base, 0)
			for b.Loop() {
				p, _, _ := o.pop(base, 0, 0)
				if p == nil { // another vCPU than the last time
					p = object
				}
				if outcome, _, _, _ := o.push(base, 0, p, nil); outcome == full {
					stack.setUp(&o, base, 0)
				}
			}
		}
	}
	for name, o := range callForms() {
		b.Run("impl="+name, pair(o, stack.vcpus))
	}
	b.Run("impl=pinned", pair(pinned, stack.ps))
	b.Run("impl=assigned", pair(assigned, stack.ps))
	b.Run("impl=sync.Pool", func(b *testing.B) {
		pool := sync.Pool{New: func() any { return new(token) }}
		for b.Loop() {
			pool.Put(pool.Get())
		}
	})
}

// BenchmarkAdd adds to one counter from all Ps.
func BenchmarkAdd(b *testing.B) {
	parallel := func(add func(int64)) func(*testing.B) {
		return func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					add(1)
				}
			})
		}
	}
	var counter Counter
	b.Run("impl=section", parallel(counter.Add))
	var sharded vcpu.Sharded[atomic.Int64]
	b.Run("impl=sharded-atomic", parallel(func(d int64) { sharded.Get().Add(d) }))
	var shared atomic.Int64
	b.Run("impl=shared-atomic", parallel(func(d int64) { shared.Add(d) }))
}
