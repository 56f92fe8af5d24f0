//go:build linux && (amd64 || arm64)

package main

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

const (
	tokenCount = 200
	blockCount = 200
)

// token knows who has it; 0 is nobody.
type token struct{ owner atomic.Int32 }

// tokens go round through a Stack; those that find no room wait in the reserve.
//
//	tokens in the stack + in the reserve + in players' hands == tokenCount
type tokens struct {
	*game
	stack   *rseqcs.Stack
	all     [tokenCount]token
	mu      sync.Mutex
	reserve []unsafe.Pointer
}

func newTokens(g *game) *tokens {
	stack, err := rseqcs.NewStack("churn", []rseqcs.Capacity{{Initial: 8, Max: 32}})
	if err != nil {
		panic(err)
	}
	t := &tokens{game: g, stack: stack}
	for i := range t.all {
		t.reserve = append(t.reserve, unsafe.Pointer(&t.all[i]))
	}
	return t
}

func (t *tokens) play(me int32) {
	for t.running() {
		t.turn(me)
	}
}

func (t *tokens) turn(me int32) {
	const rounds = 50
	for range rounds {
		t.round(me)
		t.see()
	}
	t.rounds.Add(rounds)
}

func (t *tokens) round(me int32) {
	object := t.stack.Pop(0)
	if object == nil {
		object = t.take()
	}
	if object == nil {
		return
	}
	held := (*token)(object)
	if !held.owner.CompareAndSwap(0, me) {
		t.fail("token %p has two owners, %d and %d", object, held.owner.Load(), me)
	}
	if !held.owner.CompareAndSwap(me, 0) {
		t.fail("token %p of %d has gone to %d", object, me, held.owner.Load())
	}
	switch t.stack.Push(0, object) {
	case rseqcs.Full:
		t.put(object)
	case rseqcs.Duplicate:
		t.fail("token %p is pushed while it is in the stack", object)
	}
}

func (t *tokens) take() (object unsafe.Pointer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.reserve); n > 0 {
		object, t.reserve = t.reserve[n-1], t.reserve[:n-1]
	}
	return object
}

func (t *tokens) put(objects ...unsafe.Pointer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reserve = append(t.reserve, objects...)
}

func (t *tokens) checkNoneLost() {
	t.stack.Drain(func(_ int, objects []unsafe.Pointer) { t.put(objects...) })
	found := map[unsafe.Pointer]int{}
	for _, object := range t.reserve {
		found[object]++
	}
	for i := range t.all {
		if n := found[unsafe.Pointer(&t.all[i])]; n != 1 {
			t.fail("token %d is there %d times", i, n)
		}
	}
	if len(t.reserve) != tokenCount {
		t.fail("%d objects for %d tokens", len(t.reserve), tokenCount)
	}
}

// blocks are filled by one goroutine, and compared and freed by another.
type blocks struct {
	*game
	memory *alloc.Allocator
	round  chan []byte
	arenas int // that were ever used, at the end
}

func newBlocks(g *game) *blocks {
	memory, err := alloc.New(alloc.Options{Name: "churn"})
	if err != nil {
		panic(err)
	}
	return &blocks{game: g, memory: memory, round: make(chan []byte, blockCount)}
}

func (b *blocks) play(me uint64) {
	for b.running() {
		for range 50 {
			b.pass(byte(me))
		}
		b.rounds.Add(50)
	}
}

func (b *blocks) pass(mark byte) {
	block, err := b.memory.AllocUninit(16 << rand.IntN(6))
	if err != nil {
		b.fail("no block: %v", err)
		return
	}
	for i := range block {
		block[i] = mark
	}
	select {
	case b.round <- block:
	default:
		b.retire(block)
	}
	if rand.IntN(2) == 0 {
		select {
		case other := <-b.round:
			b.retire(other)
		default:
		}
	}
}

// retire checks that nobody else has written to a block, and frees it.
func (b *blocks) retire(block []byte) {
	for i := range block {
		if block[i] != block[0] {
			b.fail("block %p has two owners: byte %d is %d, byte 0 is %d", &block[0], i, block[i], block[0])
			break
		}
	}
	b.memory.Free(block)
}

func (b *blocks) checkNoneLost() {
	close(b.round)
	for block := range b.round {
		b.retire(block)
	}
	stats := b.memory.Stats()
	b.arenas = int(stats.Arenas)
	if stats.Live != 0 {
		b.fail("%d bytes of blocks are lost", stats.Live)
	}
}
