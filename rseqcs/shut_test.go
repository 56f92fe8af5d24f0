package rseqcs

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// TestShutConserves shuts stacks while goroutines push and pop: every token is
// then with Shut or with a goroutine, once.
func TestShutConserves(t *testing.T) {
	stress.Storm(t)
	const perGoroutine = 4
	end := time.Now().Add(stress.Duration())
	for round := 0; round == 0 || time.Now().Before(end); round++ {
		stack, err := NewStack("test", []Capacity{{0, 0}, {64, 64}})
		if err != nil {
			t.Fatal(err)
		}
		tokens := make([]token, players*perGoroutine)
		var moves, stop atomic.Int64
		var all sync.WaitGroup
		held := make([][]unsafe.Pointer, players)
		for number := range players {
			for i := range perGoroutine {
				held[number] = append(held[number], unsafe.Pointer(&tokens[number*perGoroutine+i]))
			}
			all.Go(func() {
				mine := held[number]
				for stop.Load() == 0 {
					if last := len(mine) - 1; last >= 0 && stack.Push(playClass, mine[last]) == Pushed {
						mine = mine[:last]
					}
					if object := stack.Pop(playClass); object != nil {
						mine = append(mine, object)
					}
					moves.Add(1)
				}
				held[number] = mine
			})
		}
		for moves.Load() < 2000 {
			runtime.Gosched()
		}
		count := func(objects []unsafe.Pointer) {
			for _, object := range objects {
				(*token)(object).owner.Add(1)
			}
		}
		stack.Shut(func(_ int, objects []unsafe.Pointer) { count(objects) })
		stop.Store(1)
		all.Wait()
		for _, objects := range held {
			count(objects)
		}
		for i := range tokens {
			if n := tokens[i].owner.Load(); n != 1 {
				t.Fatalf("round %d: token %d is in %d places", round, i, n)
			}
		}
		if outcome := stack.Push(playClass, unsafe.Pointer(&tokens[0])); outcome != Full {
			t.Fatalf("a push after Shut gives %d", outcome)
		}
		if object := stack.Pop(playClass); object != nil || len(stack.contents(playClass)) != 0 {
			t.Fatalf("%p was popped after Shut", object)
		}
		if err := stack.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
