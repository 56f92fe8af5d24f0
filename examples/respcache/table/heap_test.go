//go:build !race

package table_test

import (
	"fmt"
	"runtime"
	"testing"
)

// TestGoHeapStaysEmpty checks that the number of keys does not show in the Go
// heap. Race builds are left out: there the allocator's memory is Go memory, so
// that the detector watches it.
func TestGoHeapStaysEmpty(t *testing.T) {
	const keys = 200_000
	w := newWorld(t, 0)
	before := heapBytes()
	for i := range keys {
		w.mustSet(t, fmt.Sprint(i), fill(100))
	}
	if grown := heapBytes() - before; grown > 1<<20 {
		t.Errorf("the Go heap grew by %d bytes for %d keys, want less than 1 MiB", grown, keys)
	}
	w.close(t)
}

func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestHotPathAllocatesNothing checks that reading and overwriting use no Go
// memory.
func TestHotPathAllocatesNothing(t *testing.T) {
	w := newWorld(t, 0)
	key, value := []byte("key"), fill(100)
	w.mustSet(t, "key", value)
	total := 0
	for name, operation := range map[string]func(){
		"get":    func() { w.table.Get(key, func(v []byte) { total += len(v) }) },
		"set":    func() { w.mustSet(t, "key", value) },
		"delete": func() { w.table.Delete(key); w.mustSet(t, "key", value) },
		"expiry": func() { w.table.Expiry(key) },
	} {
		if n := testing.AllocsPerRun(1000, operation); n != 0 {
			t.Errorf("%s allocates %v times on the Go heap, want 0", name, n)
		}
	}
	w.close(t)
}
