package rseqcs

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
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
				if outcome, _, _, _ := o.push(base, 0, p, nil); outcome == unserved {
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

// BenchmarkStack takes an object and puts it back through the public methods, in
// one goroutine and in one for each of two Ps, beside other free lists.
func BenchmarkStack(b *testing.B) {
	stack, err := NewStack("bench", []Capacity{{64, 64}})
	if err != nil {
		b.Fatal(err)
	}
	defer stack.Close()
	objects := make([]token, 64)
	var shared lockedStack
	var sharded vcpu.Sharded[lockedStack]
	for name, pair := range map[string]func(object unsafe.Pointer){
		"section": func(object unsafe.Pointer) {
			if p := stack.Pop(0); p != nil {
				object = p
			}
			stack.Push(0, object)
		},
		"sync.Pool":     func(object unsafe.Pointer) { objectPool.Put(objectPool.Get()) },
		"sharded-mutex": func(object unsafe.Pointer) { sharded.Get().pair(object) },
		"shared-mutex":  func(object unsafe.Pointer) { shared.pair(object) },
	} {
		onCPUs(b, name, func(goroutine int) { pair(unsafe.Pointer(&objects[goroutine])) })
	}
}

var objectPool = sync.Pool{New: func() any { return new(token) }}

// lockedStack is a free list with a lock.
type lockedStack struct {
	mu      sync.Mutex
	objects []unsafe.Pointer
}

func (l *lockedStack) pair(object unsafe.Pointer) {
	l.mu.Lock()
	if last := len(l.objects) - 1; last >= 0 {
		object, l.objects = l.objects[last], l.objects[:last]
	}
	l.mu.Unlock()
	l.mu.Lock()
	l.objects = append(l.objects, object)
	l.mu.Unlock()
}

// onCPUs runs an operation in one goroutine, and in one on each of two Ps. Aborts
// are told for all of them.
func onCPUs(b *testing.B, name string, operation func(goroutine int)) {
	for _, cpus := range []int{1, 2} {
		b.Run(fmt.Sprintf("impl=%s/cpus=%d", name, cpus), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cpus))
			aborts := ReadStats().Aborts
			var number atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				goroutine := int(number.Add(1))
				for pb.Next() {
					operation(goroutine)
				}
			})
			b.ReportMetric(float64(ReadStats().Aborts-aborts)/float64(b.N), "aborts/op")
		})
	}
}

// pinnedCells is a counter as sync.Pool would do it: a cell for each P, added to
// between procPin and procUnpin.
type pinnedCells [128]cell

func (c *pinnedCells) add(delta int64) {
	c[procpin.Pin()%len(c)].sum += delta
	procpin.Unpin()
}

// BenchmarkAdd adds to one counter.
func BenchmarkAdd(b *testing.B) {
	var counter Counter
	var sharded vcpu.Sharded[atomic.Int64]
	var shared atomic.Int64
	cells := new(pinnedCells)
	onCPUs(b, "section", func(int) { counter.Add(1) })
	onCPUs(b, "procpin", func(int) { cells.add(1) })
	onCPUs(b, "sharded-atomic", func(int) { sharded.Get().Add(1) })
	onCPUs(b, "shared-atomic", func(int) { shared.Add(1) })
}

// BenchmarkFence interrupts all CPUs.
func BenchmarkFence(b *testing.B) {
	for b.Loop() {
		if err := Fence(); err != nil {
			b.Skip(err)
		}
	}
}
