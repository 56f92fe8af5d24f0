package table_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
)

// world is a table on an allocator of its own, with a clock that the test sets.
type world struct {
	memory *alloc.Allocator
	table  *table.Table
	now    int64
	limit  int64
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newWorld(t fataler, limit int64) *world { return newWorldOf(t, limit, 4) }

func newWorldOf(t fataler, limit int64, shards int) *world {
	t.Helper()
	memory, err := alloc.New(alloc.Options{Name: "table test", Limit: limit})
	if err != nil {
		t.Fatalf("alloc.New: %v", err)
	}
	w := &world{memory: memory, now: 1_000_000, limit: limit}
	w.table, err = table.New(table.Options{
		Memory: memory, LimitBytes: limit, Shards: shards, NowMillis: func() int64 { return w.now },
	})
	if err != nil {
		t.Fatalf("table.New: %v", err)
	}
	return w
}

// close closes the table and fails if that leaves a block behind.
func (w *world) close(t fataler) {
	t.Helper()
	w.table.Close()
	if live := w.memory.Stats().Live; live != 0 {
		t.Fatalf("%d bytes are live after the table was closed", live)
	}
	if err := w.memory.Close(); err != nil {
		t.Fatalf("close the allocator: %v", err)
	}
}

// check walks through the whole table.
func (w *world) check(t fataler) {
	t.Helper()
	if err := w.table.CheckInvariants(); err != nil {
		t.Fatalf("invariant: %v", err)
	}
	w.checkLimit(t)
}

func (w *world) checkLimit(t fataler) {
	t.Helper()
	if backed := w.memory.Stats().Backed; w.limit > 0 && backed > w.limit {
		t.Fatalf("%d bytes are backed, above the limit of %d", backed, w.limit)
	}
}

func (w *world) get(key string) (value []byte, found bool) {
	found = w.table.Get([]byte(key), func(v []byte) { value = bytes.Clone(v) })
	return value, found
}

// modelEntry is what the model remembers of a key.
type modelEntry struct {
	value  []byte
	expiry int64
}

// model is the table in a few lines of Go.
type model struct {
	*world
	entries map[string]modelEntry
}

func (m *model) find(key string) (modelEntry, bool) {
	e, ok := m.entries[key]
	if ok && e.expiry != 0 && e.expiry <= m.now {
		delete(m.entries, key)
		return modelEntry{}, false
	}
	return e, ok
}

// keys are few, so that most operations meet one that is there; now and then
// another one, so that the indexes grow.
var keys = rapid.Custom(func(t *rapid.T) string {
	most := rapid.SampledFrom([]int{5, 5, 5, modelKeys - 1}).Draw(t, "most")
	return "key:" + strconv.Itoa(rapid.IntRange(0, most).Draw(t, "key"))
})

const modelKeys = 200

// TestMain makes each random run long enough to come back to the same key often.
func TestMain(m *testing.M) {
	flag.Parse()
	if steps := flag.Lookup("rapid.steps"); steps.Value.String() == steps.DefValue {
		steps.Value.Set("100")
	}
	os.Exit(m.Run())
}

// values are mostly small, sometimes at the border of a size class, rarely
// larger than 1 MiB; some are integers.
var values = rapid.Custom(func(t *rapid.T) []byte {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1:
		return strconv.AppendInt(nil, rapid.Int64().Draw(t, "integer"), 10)
	case 2:
		size := 1<<rapid.IntRange(4, 16).Draw(t, "log2 size") + rapid.IntRange(-64, 64).Draw(t, "offset")
		return fill(max(size, 0))
	case 3:
		return fill(rapid.IntRange(0, 1_200_000).Draw(t, "large size"))
	default:
		return fill(rapid.IntRange(0, 200).Draw(t, "size"))
	}
})

// fill is size bytes of which no two neighbours are alike.
func fill(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + size)
	}
	return b
}

func (m *model) set(t *rapid.T) {
	key, value := keys.Draw(t, "key"), values.Draw(t, "value")
	condition := rapid.SampledFrom([]table.Condition{table.Always, table.Always, table.IfAbsent, table.IfPresent}).Draw(t, "condition")
	o := table.SetOptions{Condition: condition, KeepExpiry: rapid.Bool().Draw(t, "keep")}
	if rapid.Bool().Draw(t, "expires") {
		o.ExpiryMillis = m.now + rapid.Int64Range(1, 50).Draw(t, "in")
	}
	var previous []byte
	calls := 0
	o.Previous = func(v []byte) { previous, calls = bytes.Clone(v), calls+1 }
	old, existed := m.find(key)
	want := condition == table.Always || existed == (condition == table.IfPresent)
	stored, err := m.table.Set([]byte(key), value, o)
	if err != nil || stored != want {
		t.Fatalf("set %s: got %t, %v; want %t", key, stored, err, want)
	}
	if (calls == 1) != existed || !bytes.Equal(previous, old.value) {
		t.Fatalf("set %s: the value before is %d bytes in %d calls, want %d bytes", key, len(previous), calls, len(old.value))
	}
	if !stored {
		return
	}
	expiry := o.ExpiryMillis
	if o.KeepExpiry && existed {
		expiry = old.expiry
	}
	m.entries[key] = modelEntry{value, expiry}
}

func (m *model) lookUp(t *rapid.T) {
	key := keys.Draw(t, "key")
	want, existed := m.find(key)
	got, found := m.get(key)
	if found != existed || !bytes.Equal(got, want.value) {
		t.Fatalf("get %s: got %d bytes, %t; want %d bytes, %t", key, len(got), found, len(want.value), existed)
	}
	expiry, found := m.table.Expiry([]byte(key))
	if found != existed || expiry != want.expiry {
		t.Fatalf("expiry of %s: got %d, %t; want %d, %t", key, expiry, found, want.expiry, existed)
	}
}

func (m *model) appendTo(t *rapid.T) {
	key, suffix := keys.Draw(t, "key"), values.Draw(t, "suffix")
	e, _ := m.find(key)
	e.value = append(bytes.Clone(e.value), suffix...)
	if length, err := m.table.Append([]byte(key), suffix); err != nil || length != len(e.value) {
		t.Fatalf("append to %s: got %d, %v; want %d", key, length, err, len(e.value))
	}
	m.entries[key] = e
}

func (m *model) increment(t *rapid.T) {
	key, delta := keys.Draw(t, "key"), rapid.Int64().Draw(t, "delta")
	e, existed := m.find(key)
	old, ok := int64(0), true
	if existed {
		old, ok = table.ParseInteger(e.value)
	}
	var want error
	switch {
	case !ok:
		want = table.ErrNotInteger
	case (delta > 0 && old > math.MaxInt64-delta) || (delta < 0 && old < math.MinInt64-delta):
		want = table.ErrOverflow
	}
	sum, err := m.table.Increment([]byte(key), delta)
	if !errors.Is(err, want) || (want == nil && sum != old+delta) {
		t.Fatalf("increment %s = %d by %d: got %d, %v; want %v", key, old, delta, sum, err, want)
	}
	if err == nil {
		e.value = strconv.AppendInt(nil, sum, 10)
		m.entries[key] = e
	}
}

func (m *model) remove(t *rapid.T) {
	key := keys.Draw(t, "key")
	_, existed := m.find(key)
	if removed := m.table.Delete([]byte(key)); removed != existed {
		t.Fatalf("delete %s: got %t, want %t", key, removed, existed)
	}
	delete(m.entries, key)
}

func (m *model) setExpiry(t *rapid.T) {
	key := keys.Draw(t, "key")
	at := rapid.SampledFrom([]int64{0, m.now - 1, m.now, m.now + 1, m.now + 30}).Draw(t, "at")
	e, existed := m.find(key)
	if changed := m.table.SetExpiry([]byte(key), at, nil); changed != existed {
		t.Fatalf("set expiry of %s: got %t, want %t", key, changed, existed)
	}
	if existed {
		e.expiry = at
		m.entries[key] = e
	}
}

// fill sets many keys at once, so that the index grows.
func (m *model) fill(t *rapid.T) {
	first := rapid.IntRange(0, modelKeys-1).Draw(t, "first key")
	for i := range min(rapid.IntRange(0, 40).Draw(t, "keys"), modelKeys-first) {
		key := fmt.Sprintf("key:%d", first+i)
		if _, err := m.table.Set([]byte(key), []byte(key), table.SetOptions{}); err != nil {
			t.Fatalf("set %s: %v", key, err)
		}
		m.entries[key] = modelEntry{[]byte(key), 0}
	}
}

func (m *model) flush(t *rapid.T) {
	if rapid.IntRange(0, 20).Draw(t, "flush if 0") == 0 {
		m.table.Flush()
		clear(m.entries)
	}
}

func (m *model) checkAll(t *rapid.T) {
	m.check(t)
	for key := range m.entries {
		m.find(key)
	}
	if n := m.table.Len(); n < len(m.entries) {
		t.Fatalf("the table holds %d entries, want at least %d", n, len(m.entries))
	}
}

// TestAgainstMap runs random operations on the table and on a Go map.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{newWorldOf(t, 0, 1), map[string]modelEntry{}}
		t.Repeat(map[string]func(*rapid.T){
			"":          m.checkAll,
			"set":       m.set,
			"get":       m.lookUp,
			"append":    m.appendTo,
			"increment": m.increment,
			"delete":    m.remove,
			"expiry":    m.setExpiry,
			"fill":      m.fill,
			"flush":     m.flush,
			"maintain":  func(*rapid.T) { m.table.Maintain() },
			"time":      func(t *rapid.T) { m.now += rapid.Int64Range(1, 40).Draw(t, "passes") },
		})
		m.close(t)
	})
}

// TestAgainstMapUnderLimit does the same with room for a part of the data: keys
// may vanish, but what is there must be right, a value that was just stored is
// there, and nothing is refused that fits.
func TestAgainstMapUnderLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{newWorldOf(t, 4<<20, 1), map[string]modelEntry{}}
		verify := func(key string) {
			got, found := m.get(key)
			if want, existed := m.find(key); found && (!existed || !bytes.Equal(got, want.value)) {
				t.Fatalf("get %s: got %d bytes, want %d, %t", key, len(got), len(want.value), existed)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.check(t) },
			"set": func(t *rapid.T) {
				key, value := keys.Draw(t, "key"), values.Draw(t, "value")
				if _, err := m.table.Set([]byte(key), value, table.SetOptions{}); err != nil {
					t.Fatalf("set %s to %d bytes: %v", key, len(value), err)
				}
				m.entries[key] = modelEntry{value, 0}
				if !m.table.Exists([]byte(key)) {
					t.Fatalf("%s is gone right after it was set", key)
				}
			},
			"append": func(t *rapid.T) {
				key, suffix := keys.Draw(t, "key"), values.Draw(t, "suffix")
				e, _ := m.find(key)
				length, err := m.table.Append([]byte(key), suffix)
				switch {
				case errors.Is(err, table.ErrOutOfMemory) && len(e.value)+len(suffix) > 3<<20:
					return // old and new value together do not fit
				case err == nil && length == len(e.value)+len(suffix):
					m.entries[key] = modelEntry{append(bytes.Clone(e.value), suffix...), 0}
				case err == nil && length == len(suffix): // evicted before or meanwhile
					m.entries[key] = modelEntry{suffix, 0}
				default:
					t.Fatalf("append %d bytes to %s of %d: got %d, %v", len(suffix), key, len(e.value), length, err)
				}
			},
			"fill":     m.fill,
			"get":      func(t *rapid.T) { verify(keys.Draw(t, "key")) },
			"maintain": func(*rapid.T) { m.table.Maintain() },
			"time":     func(t *rapid.T) { m.now += rapid.Int64Range(1, 40).Draw(t, "passes") },
			"too large": func(t *rapid.T) {
				_, err := m.table.Set([]byte(keys.Draw(t, "key")), make([]byte, m.limit), table.SetOptions{})
				if !errors.Is(err, table.ErrOutOfMemory) {
					t.Fatalf("set a value as large as the limit: got %v, want ErrOutOfMemory", err)
				}
			},
		})
		for i := range modelKeys {
			verify(fmt.Sprintf("key:%d", i))
		}
		m.close(t)
	})
}
