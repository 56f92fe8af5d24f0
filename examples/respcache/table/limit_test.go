package table_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

func (w *world) mustSet(t *testing.T, key string, value []byte) {
	t.Helper()
	if _, err := w.table.Set([]byte(key), value, table.SetOptions{}); err != nil {
		t.Fatalf("set %s to %d bytes: %v; %+v", key, len(value), err, w.memory.Stats())
	}
}

// TestSizesChange fills a cache with values of one size and then with values of
// another. The spans of the first size must become free for the second, with no
// request refused and most of the limit in use again.
func TestSizesChange(t *testing.T) {
	const limit = 16 << 20
	w := newWorld(t, limit)
	number := 0
	for _, size := range []int{100, 10 << 10, 1000, 1 << 20, 30, 200 << 10, 5000} {
		for range 2 * limit / (size + 100) {
			number++
			w.now++
			key := fmt.Sprintf("key:%d", number)
			w.mustSet(t, key, fill(size))
			if number%1000 == 0 {
				w.checkLimit(t)
				w.table.Maintain()
			}
		}
		w.check(t)
		live, keys := w.memory.Stats().Live, w.table.Len()
		t.Logf("values of %d bytes: %d keys, %d bytes live", size, keys, live)
		if live < limit/2 {
			t.Errorf("after values of %d bytes only %d of %d bytes are live", size, live, limit)
		}
		if value, found := w.get(fmt.Sprintf("key:%d", number)); !found || !bytes.Equal(value, fill(size)) {
			t.Errorf("the key stored last is not there")
		}
	}
	w.close(t)
}

// TestMixedSizesStay checks that a cache of random sizes, once full, gives up
// about as many keys as it takes in.
func TestMixedSizesStay(t *testing.T) {
	const limit, rounds = 16 << 20, 100_000
	w := newWorld(t, limit)
	random := rand.New(rand.NewPCG(seed(t), 0))
	for i := range rounds {
		w.now++
		w.mustSet(t, fmt.Sprintf("key:%d", i), fill(16+random.IntN(2000)))
		if i%1000 == 0 {
			w.checkLimit(t)
			w.table.Maintain()
		}
	}
	stats := w.memory.Stats()
	t.Logf("%d keys, %d bytes live, %d evicted", w.table.Len(), stats.Live, w.table.Stats().Evicted)
	if stats.Live < limit*7/10 {
		t.Errorf("%d of %d bytes are live after %d random sizes, want 70 %%", stats.Live, limit, rounds)
	}
	w.close(t)
}

// TestUsedKeysStay checks that eviction is least recently used, approximately.
func TestUsedKeysStay(t *testing.T) {
	const limit, hot = 8 << 20, 1000
	w := newWorld(t, limit)
	name := func(i int) string { return fmt.Sprintf("hot:%d", i) }
	for i := range hot {
		w.mustSet(t, name(i), fill(100))
	}
	for i := range 200_000 {
		w.now++
		w.mustSet(t, fmt.Sprintf("cold:%d", i), fill(100))
		w.get(name(i % hot))
	}
	stay := 0
	for i := range hot {
		if _, found := w.get(name(i)); found {
			stay++
		}
	}
	if evicted := w.table.Stats().Evicted; evicted < 100_000 {
		t.Fatalf("%d keys were evicted; the test wants pressure", evicted)
	}
	if stay < hot*95/100 {
		t.Errorf("%d of %d keys in use are left, want 95 %%", stay, hot)
	}
	w.close(t)
}

// TestNeverFits checks that what cannot fit is refused, at no cost for others
// where its size alone tells, and that the table serves on.
func TestNeverFits(t *testing.T) {
	w := newWorld(t, 4<<20)
	w.mustSet(t, "stays", []byte("value"))
	for range 3 {
		_, err := w.table.Set([]byte("large"), make([]byte, 8<<20), table.SetOptions{})
		if !errors.Is(err, table.ErrOutOfMemory) {
			t.Fatalf("set 8 MiB under a limit of 4 MiB: got %v, want ErrOutOfMemory", err)
		}
	}
	if _, found := w.get("stays"); !found {
		t.Error("a key was evicted for a value that can never fit")
	}
	// Below the limit, but not with the index and the spans that it needs.
	if _, err := w.table.Set([]byte("large"), make([]byte, 4<<20-100), table.SetOptions{}); !errors.Is(err, table.ErrOutOfMemory) {
		t.Fatalf("set 4 MiB less 100 bytes under a limit of 4 MiB: got %v, want ErrOutOfMemory", err)
	}
	w.mustSet(t, "small", []byte("value"))
	w.check(t)
	w.close(t)
}

// TestIndexFollowsCount checks that the index grows with the keys and shrinks
// after them, and that keys are found meanwhile.
func TestIndexFollowsCount(t *testing.T) {
	const keys = 100_000
	w := newWorld(t, 0)
	empty := w.table.Stats().IndexBytes
	for i := range keys {
		w.mustSet(t, fmt.Sprint(i), nil)
		if _, found := w.get(fmt.Sprint(i / 2)); !found {
			t.Fatalf("key %d is not found among %d", i/2, i)
		}
	}
	if full := w.table.Stats().IndexBytes; full < keys*8 || full > keys*8*6 {
		t.Errorf("the index of %d keys is %d bytes, want 8 to 48 bytes a key", keys, full)
	}
	for i := range keys {
		w.table.Delete([]byte(fmt.Sprint(i)))
	}
	for range 50 {
		w.table.Maintain()
		w.check(t)
	}
	if again := w.table.Stats().IndexBytes; again != empty {
		t.Errorf("the index of an emptied table is %d bytes, want the first %d", again, empty)
	}
	w.close(t)
}

// TestIndexStaysUnderPressure takes all memory but for some free objects of the
// size that keys need, so that the index cannot grow: all keys are kept and
// found in the short one, and it grows when memory is back.
func TestIndexStaysUnderPressure(t *testing.T) {
	const keys = 60
	w := newWorldOf(t, 1<<20, 1)
	w.mustSet(t, "0", nil)
	empty := w.table.Stats().IndexBytes
	var hog [][]byte
	for _, size := range []int{64 << 10, 8 << 10, 2048, 1024, 512, 256} {
		for {
			block, err := w.memory.AllocUninit(size)
			if err != nil {
				break
			}
			hog = append(hog, block)
		}
	}
	for i := range keys {
		w.mustSet(t, fmt.Sprint(i), nil)
	}
	if stats := w.table.Stats(); stats.Keys != keys || stats.Evicted != 0 || stats.IndexBytes != empty {
		t.Errorf("got %+v, want %d keys, none evicted, an index of %d bytes", stats, keys, empty)
	}
	for _, block := range hog {
		w.memory.Free(block)
	}
	for i := range 2 * keys {
		w.mustSet(t, fmt.Sprint(i), nil)
	}
	if stats := w.table.Stats(); stats.Keys != 2*keys || stats.IndexBytes <= empty {
		t.Errorf("got %+v, want %d keys, an index above %d bytes", stats, 2*keys, empty)
	}
	w.check(t)
	w.close(t)
}

// TestMaintainExpires checks that keys go away that nobody asks for.
func TestMaintainExpires(t *testing.T) {
	const keys = 20_000
	w := newWorld(t, 0)
	for i := range keys {
		o := table.SetOptions{}
		if i%2 == 0 {
			o.ExpiryMillis = w.now + 10
		}
		if _, err := w.table.Set([]byte(fmt.Sprint(i)), fill(10), o); err != nil {
			t.Fatal(err)
		}
	}
	for range 300 {
		w.table.Maintain()
	}
	if n := w.table.Len(); n != keys {
		t.Fatalf("%d keys before any time passed, want %d", n, keys)
	}
	w.now += 10
	for range 300 {
		w.table.Maintain()
	}
	if stats := w.table.Stats(); stats.Keys != keys/2 || stats.Expiring != 0 || stats.Expired != keys/2 {
		t.Errorf("got %+v, want %d keys, none expiring, %d expired", stats, keys/2, keys/2)
	}
	w.check(t)
	w.close(t)
}

// TestSmallerValueGivesBack checks that a large block does not stay with a value
// that became small, and that one of about the right size does.
func TestSmallerValueGivesBack(t *testing.T) {
	w := newWorld(t, 0)
	empty := w.memory.Stats().Live
	for _, size := range []int{1 << 20, 5000, 10} {
		w.mustSet(t, "key", fill(size))
		need := int64(size + 100)
		if live := w.memory.Stats().Live - empty; live > 2*need {
			t.Errorf("a value of %d bytes takes %d", size, live)
		}
	}
	w.close(t)
}

// TestLargeValueEvictsWhatItLacks fills a cache with small keys and then stores
// large values, each together with a buffer of the same size, as the server does.
// No more is evicted than is needed.
func TestLargeValueEvictsWhatItLacks(t *testing.T) {
	const limit, large = 64 << 20, 6 << 20
	w := newWorld(t, limit)
	for i := 0; w.table.Stats().Evicted == 0; i++ {
		w.now++
		w.mustSet(t, fmt.Sprintf("key:%d", i), fill(60))
	}
	full := w.table.Len()
	for i := 1; i <= 2; i++ {
		var buffer []byte
		err := w.table.WithRoom(large, func() (err error) {
			buffer, err = w.memory.AllocUninit(large)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.mustSet(t, fmt.Sprintf("large:%d", i), buffer)
		w.memory.Free(buffer)
		w.check(t)
		// What is stored and the buffer, and a few windows more than that.
		remain := w.table.Len()
		t.Logf("large value %d: %d of %d keys remain", i, remain, full)
		if want := full - full/20 - full*(i+1)*large/limit*11/10; remain < want {
			t.Errorf("%d of %d keys remain after %d values of %d bytes under a limit of %d, want %d", remain, full, i, large, limit, want)
		}
	}
	w.close(t)
}

// TestSmallValueEvictsOneLarge checks that a small value does not evict large ones
// by the dozen.
func TestSmallValueEvictsOneLarge(t *testing.T) {
	const limit, large = 64 << 20, 4 << 20
	w := newWorld(t, limit)
	for i := 0; w.table.Stats().Evicted == 0; i++ {
		w.now++
		w.mustSet(t, fmt.Sprintf("large:%d", i), fill(large))
	}
	for err := error(nil); err == nil; {
		_, err = w.memory.AllocUninit(4 << 10) // freed with the allocator
	}
	number := w.table.Len()
	largeKeys := func() (n int) {
		for i := range number + 1 {
			if w.table.Exists([]byte(fmt.Sprintf("large:%d", i))) {
				n++
			}
		}
		return n
	}
	for i := 0; largeKeys() == number; i++ {
		w.mustSet(t, fmt.Sprintf("small:%d", i), fill(1000))
	}
	if evicted := number - largeKeys(); evicted != 1 {
		t.Errorf("a value of 1000 bytes evicted %d keys of %d bytes, want one", evicted, large)
	}
	w.table.Close()
	if err := w.memory.Close(); err != nil {
		t.Error(err)
	}
}

// TestRefusedValueEvictsLittle checks that a value that lacks more memory than all
// keys hold is refused at little cost for them.
func TestRefusedValueEvictsLittle(t *testing.T) {
	const limit = 32 << 20
	w := newWorld(t, limit)
	held, err := w.memory.AllocUninit(limit / 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; w.table.Stats().Evicted == 0; i++ {
		w.mustSet(t, fmt.Sprintf("key:%d", i), fill(60))
	}
	full := w.table.Len()
	for range 3 {
		if _, err := w.table.Set([]byte("large"), make([]byte, limit*5/8), table.SetOptions{}); !errors.Is(err, table.ErrOutOfMemory) {
			t.Fatalf("set 20 MiB of 32 with 16 in use elsewhere: got %v, want ErrOutOfMemory", err)
		}
	}
	if remain := w.table.Len(); remain < full*95/100 {
		t.Errorf("%d of %d keys remain after a refused value, want 95 %%", remain, full)
	}
	w.memory.Free(held)
	w.close(t)
}
