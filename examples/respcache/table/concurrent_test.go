package table_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

// sealed is a value that tells whether it is whole and whose it is: its key's
// number and a checksum come first.
func sealed(number uint64, size int) []byte {
	b := fill(max(size, 12))
	binary.LittleEndian.PutUint64(b[4:], number)
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

func checkSealed(number uint64, b []byte) error {
	switch {
	case len(b) < 12:
		return fmt.Errorf("key %d has a value of %d bytes", number, len(b))
	case binary.LittleEndian.Uint64(b[4:]) != number:
		return fmt.Errorf("key %d has the value of key %d", number, binary.LittleEndian.Uint64(b[4:]))
	case binary.LittleEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]):
		return fmt.Errorf("the value of key %d is damaged", number)
	}
	return nil
}

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

// TestConcurrentUse has goroutines write, read, delete, flush and maintain the
// same keys under a limit, while all values are checked for damage.
//
// The limit grows with the number of Ps, because each vCPU keeps some free
// memory of its own that the others cannot have.
func TestConcurrentUse(t *testing.T) {
	const steps = 20_000
	parallelism := runtime.GOMAXPROCS(0)
	goroutines, keys, limit := 4*parallelism, 10_000*uint64(parallelism), 4<<20*int64(parallelism)
	w := newWorld(t, limit)
	start := seed(t)
	var hits atomic.Int64
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			random := rand.New(rand.NewPCG(start, uint64(g)))
			for step := range steps {
				number := random.Uint64N(keys)
				key := binary.BigEndian.AppendUint64(nil, number)
				switch choice := random.IntN(100); {
				case choice < 50:
					w.table.Get(key, func(value []byte) {
						hits.Add(1)
						if err := checkSealed(number, value); err != nil {
							t.Error(err)
						}
					})
				case choice < 90:
					size := random.IntN(1 << random.IntN(15))
					if _, err := w.table.Set(key, sealed(number, size), table.SetOptions{}); err != nil {
						t.Errorf("set %d bytes: %v", size, err)
					}
				case choice < 99:
					w.table.Delete(key)
				case step%1000 == 0:
					w.table.Flush()
				default:
					w.table.Maintain()
				}
				if step%100 == 0 {
					if backed := w.memory.Stats().Backed; backed > limit {
						t.Errorf("%d bytes are backed, above the limit of %d", backed, limit)
					}
				}
			}
		})
	}
	group.Wait()
	if evicted := w.table.Stats().Evicted; hits.Load() == 0 || evicted == 0 {
		t.Errorf("%d values were found and %d keys evicted, want some of both", hits.Load(), evicted)
	}
	w.check(t)
	w.close(t)
}

// TestConcurrentIncrements checks that no increment is lost.
func TestConcurrentIncrements(t *testing.T) {
	const goroutines, steps = 8, 5000
	w := newWorld(t, 0)
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range steps {
				if _, err := w.table.Increment([]byte("counter"), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if value, _ := w.get("counter"); !bytes.Equal(value, []byte(strconv.Itoa(goroutines*steps))) {
		t.Errorf("the counter is %s, want %d", value, goroutines*steps)
	}
	w.close(t)
}
