package table_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

// TestDeclinedValueCountsAsNothing checks that a use which declines a value does not
// show in the figures.
func TestDeclinedValueCountsAsNothing(t *testing.T) {
	w := newWorld(t, 0)
	w.mustSet(t, "key", []byte("value"))
	seen := ""
	if !w.table.TryGet([]byte("key"), func(v []byte) bool { seen = string(v); return false }) || seen != "value" {
		t.Errorf("the value declined was %q", seen)
	}
	if stats := w.table.Stats(); stats.Hits != 0 || stats.Misses != 0 {
		t.Errorf("after a value was declined: %d hits, %d misses", stats.Hits, stats.Misses)
	}
	w.table.TryGet([]byte("key"), func([]byte) bool { return true })
	w.table.TryGet([]byte("absent"), func([]byte) bool { return true })
	if stats := w.table.Stats(); stats.Hits != 1 || stats.Misses != 1 {
		t.Errorf("after a value was taken and one was absent: %d hits, %d misses", stats.Hits, stats.Misses)
	}
	w.close(t)
}

// TestRoomForOthers checks that a full table evicts for a block that is not its
// own, and refuses one that can never fit without evicting.
func TestRoomForOthers(t *testing.T) {
	const limit = 8 << 20
	w := newWorld(t, limit)
	for i := range 2 * limit / 1000 {
		w.mustSet(t, fmt.Sprint(i), fill(1000))
	}
	allocate := func(n int) (block []byte, err error) {
		err = w.table.WithRoom(n, func() (err error) {
			block, err = w.memory.AllocUninit(n)
			return err
		})
		return block, err
	}
	keys := w.table.Len()
	if _, err := allocate(limit + 1); !errors.Is(err, table.ErrOutOfMemory) || w.table.Len() != keys {
		t.Errorf("a block above the limit: %v, %d keys left of %d", err, w.table.Len(), keys)
	}
	block, err := allocate(limit / 2)
	if err != nil || len(block) != limit/2 || w.table.Len() >= keys {
		t.Fatalf("a block of half the limit: %d bytes, %v, %d keys left of %d", len(block), err, w.table.Len(), keys)
	}
	w.checkLimit(t)
	w.memory.Free(block)
	w.check(t)
	w.close(t)
}

// TestStopEvictsNothing checks that a stopped table refuses at once what needs
// eviction, keeps its entries through Flush, and can be closed.
func TestStopEvictsNothing(t *testing.T) {
	const limit = 8 << 20
	w := newWorld(t, limit)
	for i := range 2 * limit / 1000 {
		w.mustSet(t, fmt.Sprint(i), fill(1000))
	}
	w.table.Stop()
	keys := w.table.Len()
	if _, err := w.table.Set([]byte("large"), fill(limit/2), table.SetOptions{}); !errors.Is(err, table.ErrOutOfMemory) {
		t.Errorf("a value of half the limit: got %v, want ErrOutOfMemory", err)
	}
	w.table.Flush()
	w.table.Maintain()
	if left := w.table.Len(); left != keys {
		t.Errorf("%d keys are left of %d", left, keys)
	}
	w.check(t)
	w.close(t)
}

func TestMaxStringBytes(t *testing.T) {
	memory, err := alloc.New(alloc.Options{Name: "table test"})
	if err != nil {
		t.Fatal(err)
	}
	small, err := table.New(table.Options{Memory: memory, MaxStringBytes: 10})
	if err != nil {
		t.Fatal(err)
	}
	long, short := fill(11), fill(10)
	key := []byte("k")
	for name, operation := range map[string]func() error{
		"key of Set":       func() error { _, err := small.Set(long, nil, table.SetOptions{}); return err },
		"value of Set":     func() error { _, err := small.Set(key, long, table.SetOptions{}); return err },
		"key of Append":    func() error { _, err := small.Append(long, nil); return err },
		"suffix of Append": func() error { _, err := small.Append(key, long); return err },
		"key of Increment": func() error { _, err := small.Increment(long, 1); return err },
		"value after Append": func() error {
			small.Set(key, short, table.SetOptions{})
			_, err := small.Append(key, []byte("x"))
			return err
		},
	} {
		if err := operation(); !errors.Is(err, table.ErrTooLong) {
			t.Errorf("%s of 11 bytes with 10 allowed: got %v, want ErrTooLong", name, err)
		}
	}
	if !small.TryGet(key, func(v []byte) bool { return bytes.Equal(v, short) }) {
		t.Error("the value of 10 bytes is not there")
	}
	small.Close()
	if err := memory.Close(); err != nil {
		t.Fatal(err)
	}
}
