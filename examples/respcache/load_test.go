package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
)

// valueOf is the value that the tests store under a key's number: size bytes
// that depend on both, so that a value of another key, of another size or with
// any byte changed is noticed.
func valueOf(number uint64, size int) []byte {
	random := rand.NewPCG(number, uint64(size))
	value := make([]byte, 0, size+8)
	for len(value) < size {
		value = binary.LittleEndian.AppendUint64(value, random.Uint64())
	}
	return value[:size]
}

func keyOf(number uint64) string { return "key:" + strconv.FormatUint(number, 10) }

// seed is RESPCACHE_SEED from the environment, or a random one.
func seed(t *testing.T) uint64 {
	value := rand.Uint64()
	if text := os.Getenv("RESPCACHE_SEED"); text != "" {
		var err error
		if value, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RESPCACHE_SEED: %v", err)
		}
	}
	t.Logf("repeat with RESPCACHE_SEED=%d", value)
	return value
}

const pipelineDepth = 16

// loader writes and reads keys from first to first+keys-1 through one connection
// and remembers the size that it gave each.
type loader struct {
	client      *peer
	random      *rand.Rand
	first, keys uint64
	sizes       map[uint64]int
	recent      [256]uint64 // keys stored of late, likely to be there
	stored      int
	hits        int
	mayVanish   bool // a memory limit is set
}

// number picks a key.
func (l *loader) number() uint64 { return l.first + l.random.Uint64N(l.keys) }

// likelyNumber picks any key or, as often, one that was stored of late.
func (l *loader) likelyNumber() uint64 {
	if l.stored == 0 || l.random.IntN(2) == 0 {
		return l.number()
	}
	return l.recent[l.random.IntN(min(l.stored, len(l.recent)))]
}

// set sends one pipeline of SETs and reads the replies.
func (l *loader) set(depth int, size func() int) error {
	for range depth {
		number, size := l.number(), size()
		l.client.send("SET", keyOf(number), string(valueOf(number, size)))
		l.sizes[number] = size
		l.recent[l.stored%len(l.recent)] = number
		l.stored++
	}
	for range depth {
		if r, err := l.client.read(); err != nil || r.String() != "+OK" {
			return fmt.Errorf("SET: got %.200s, %v; want +OK", r, err)
		}
	}
	return nil
}

// get sends one pipeline of GETs and checks the values that come back.
func (l *loader) get(depth int) error {
	numbers := make([]uint64, depth)
	for i := range numbers {
		numbers[i] = l.likelyNumber()
		l.client.send("GET", keyOf(numbers[i]))
	}
	for _, number := range numbers {
		r, err := l.client.read()
		if err != nil {
			return fmt.Errorf("GET %s: %w", keyOf(number), err)
		}
		size, stored := l.sizes[number]
		switch {
		case r.kind != '$':
			return fmt.Errorf("GET %s: got %.200s", keyOf(number), r)
		case r.null && (!stored || l.mayVanish):
		case r.null || !stored || r.text != string(valueOf(number, size)):
			return fmt.Errorf("GET %s: got %d bytes, null %t; want the %d bytes stored last, %t", keyOf(number), len(r.text), r.null, size, stored)
		default:
			l.hits++
		}
	}
	return nil
}

// parallel runs work for several loaders, each with keys of its own, at once.
func parallel(t *testing.T, address string, loaders int, keys uint64, mayVanish bool, work func(*loader) error) {
	t.Helper()
	start := seed(t)
	var group sync.WaitGroup
	for i := range uint64(loaders) {
		l := &loader{
			client:    dial(t, address),
			random:    rand.New(rand.NewPCG(start, i)),
			first:     i * keys,
			keys:      keys,
			sizes:     map[uint64]int{},
			mayVanish: mayVanish,
		}
		group.Go(func() {
			if err := work(l); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	group.Wait()
}
