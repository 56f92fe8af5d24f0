//go:build linux && !vcpualloc_gomem

package alloc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/cgroup"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// fakeGroup writes what the kernel shows of a process in a group with memory.max,
// and returns the root and the function that changes it.
func fakeGroup(t *testing.T, most string) (root string, set func(most string)) {
	t.Helper()
	root = t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/self/cgroup", "0::/app\n")
	write("proc/self/mountinfo", "30 23 0:26 / /cgroup rw - cgroup2 cgroup2 rw\n")
	set = func(most string) { write("cgroup/app/memory.max", most+"\n") }
	set(most)
	return root, set
}

// setGoLimit sets Go's limit for the time of the test.
func setGoLimit(t *testing.T, bytes int64) {
	t.Helper()
	before := debug.SetMemoryLimit(bytes)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
}

// TestBalanceTotal finds the total that is meant, or says why there is none.
func TestBalanceTotal(t *testing.T) {
	const mib = int64(1 << 20)
	for _, c := range []struct {
		asked, goLimit int64
		group          string
		want           int64 // or 0 and
		reason         string
	}{
		{asked: 100 * mib, goLimit: math.MaxInt64, group: "max", want: 100 * mib},
		{asked: 100 * mib, goLimit: math.MaxInt64, group: "67108864", want: 64 * mib},
		{asked: 50 * mib, goLimit: math.MaxInt64, group: "67108864", want: 50 * mib},
		{goLimit: math.MaxInt64, group: "67108864", want: 64 * mib},
		{goLimit: 60 * mib, group: "67108864", want: 60 * mib},
		{goLimit: 60 * mib, group: "max", want: 60 * mib},
		{goLimit: math.MaxInt64, group: "max", reason: "none is set in"},
		{asked: 100 * mib, goLimit: math.MaxInt64, group: "1048576", reason: "/cgroup/app/memory.max allows 1.0 MiB"},
		{asked: mib, goLimit: math.MaxInt64, group: "max", reason: "1048576 bytes"},
		{asked: -mib, goLimit: math.MaxInt64, group: "max", reason: "-1048576 bytes"},
	} {
		root, _ := fakeGroup(t, c.group)
		b := balancer{asked: c.asked, previous: c.goLimit, root: root}
		err := b.findTotal()
		if b.total != c.want || (err == nil) != (c.want > 0) || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%+v: %d, %v", c, b.total, err)
		}
	}
	b := balancer{previous: math.MaxInt64, root: t.TempDir()}
	if err := b.findTotal(); !errors.Is(err, cgroup.ErrNone) {
		t.Errorf("no files: %v", err)
	}
}

// TestBalanceLimit moves the allocators' memory and the group's limit, and looks
// at what Go may have.
func TestBalanceLimit(t *testing.T) {
	const mib = int64(1 << 20)
	setGoLimit(t, math.MaxInt64)
	a := open(t, Options{})
	root, set := fakeGroup(t, fmt.Sprint(4096*mib))
	b := &balancer{asked: 128 * mib, previous: math.MaxInt64, applied: math.MaxInt64, root: root}
	look := func() int64 {
		t.Helper()
		if err := b.findTotal(); err != nil {
			t.Fatal(err)
		}
		b.look(true)
		if got := debug.SetMemoryLimit(-1); got != b.applied {
			t.Fatalf("Go's limit is %d, not %d", got, b.applied)
		}
		return b.applied
	}
	empty := look()
	if want := 128*mib - 8*mib - backedByAll() - metadataOfAll(); empty != want || b.changes != 1 {
		t.Errorf("at first %d, want %d; %d changes", empty, want, b.changes)
	}
	block := must(t)(a.Alloc(20 << 20))
	lower := look()
	if moved := empty - lower; moved < 20*mib || moved > 21*mib {
		t.Errorf("%d less after 20 MiB", moved)
	}
	small := must(t)(a.Alloc(300 << 10)) // less than a 256th
	if look() != lower || b.changes != 2 {
		t.Errorf("a small change: %d, before %d; %d changes", b.applied, lower, b.changes)
	}
	set(fmt.Sprint(64 * mib))
	if got := look(); got > lower-60*mib || got < 30*mib {
		t.Errorf("half the total: %d, before %d", got, lower)
	}
	set("max")
	if got := look(); got < lower-mib {
		t.Errorf("the group's limit is gone: %d, before %d", got, lower)
	}
	a.Free(block)
	a.Free(small)
	if _, err := a.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := look(); got < empty-mib {
		t.Errorf("all freed: %d, at first %d", got, empty)
	}
	set(fmt.Sprint(16 * mib))
	must(t)(a.Alloc(20 << 20))
	if got := look(); got != 2*mib {
		t.Errorf("no room: %d, want the floor of 2 MiB", got)
	}
	if got := goLimit(128*mib, 0, 50*mib); got != 50*mib {
		t.Errorf("GOMEMLIMIT is no bound: %d", got)
	}
}

// TestBackedByAll counts a tree of allocators once, without what is gone.
func TestBackedByAll(t *testing.T) {
	before := backedByAll()
	a := open(t, Options{})
	c := child(t, a, Options{})
	var blocks [][]byte
	for range 40_000 {
		blocks = append(blocks, must(t)(c.Alloc(256)))
	}
	for i, b := range blocks {
		if i%64 != 0 {
			c.Free(b)
		}
	}
	must(t)(a.Alloc(1 << 20))
	if _, err := c.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := c.Stats()
	if got, want := backedByAll()-before, a.Stats().Backed+s.Backed; got != want || s.Gone == 0 && os.Getpagesize() <= arena.PageSize {
		t.Errorf("%d bytes, want %d; %d gone", got, want, s.Gone)
	}
}

func countOpened() int {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	return len(opened.all)
}

// goMemory returns what Go's limit bounds.
func goMemory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// together returns what Go's limit bounds and what all allocators have, in bytes.
func together() int64 { return goMemory() + backedByAll() + metadataOfAll() }

// garbage makes a megabyte of garbage.
func garbage() {
	for range 64 {
		spoilt.Store(unsafe.SliceData(make([]byte, 16<<10)))
	}
}

// spoilt keeps the compiler from leaving garbage out.
var spoilt atomic.Pointer[byte]

// TestBalanceHolds makes garbage that only Go's limit has collected, while an
// allocator grows. With a limit for Go alone both grow beyond it together; balanced,
// the collector brings them back below the total after each step.
func TestBalanceHolds(t *testing.T) {
	const size, steps = 40 << 20, 8
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory()
	total := together() + 64<<20
	setGoLimit(t, total)
	alone := open(t, Options{})
	must(t)(alone.Alloc(size))
	stress.Until(t, func() error {
		if garbage(); together() < total+size/2 {
			return fmt.Errorf("Go's limit alone: %d bytes of %d, so the test shows nothing", together(), total)
		}
		return nil
	})
	t.Logf("%d MiB of %d with Go's limit alone", together()>>20, total>>20)
	before := countOpened()
	debug.FreeOSMemory()
	total += backedByAll()
	setGoLimit(t, math.MaxInt64)
	root, _ := fakeGroup(t, fmt.Sprint(total))
	b := balancer{root: root, period: 5 * time.Millisecond}
	stop, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := BalanceMemoryLimit(total); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("twice: %v", err)
	}
	a := open(t, Options{})
	for range steps {
		limit := debug.SetMemoryLimit(-1)
		must(t)(a.Alloc(size / steps))
		stress.Until(t, func() error {
			if now := debug.SetMemoryLimit(-1); now > limit-size/steps/2 {
				return fmt.Errorf("Go's limit is %d, %d before the allocator took %d bytes", now, limit, size/steps)
			}
			return nil
		})
		for range total >> 20 {
			garbage()
		}
		stress.Until(t, func() error {
			if garbage(); together() > total { // Go's limit is a soft one: it comes back
				return fmt.Errorf("%d bytes, above the total of %d", together(), total)
			}
			return nil
		})
	}
	t.Logf("%d MiB of %d balanced", together()>>20, total>>20)
	stop()
	stop()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("Go's limit is %d after stop", got)
	}
	if err := a.Close(); err != nil || countOpened() != before {
		t.Errorf("%d allocators, before %d; %v", countOpened(), before, err)
	}
}

func TestBalanceMemoryLimit(t *testing.T) {
	setGoLimit(t, math.MaxInt64)
	stop, err := BalanceMemoryLimit(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	if got := debug.SetMemoryLimit(-1); got >= 1<<40 {
		t.Errorf("Go's limit is %d", got)
	}
	stop()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("Go's limit is %d after stop", got)
	}
	if _, err := BalanceMemoryLimit(-1); err == nil {
		t.Error("a negative total")
	}
}

// TestGoLimit: Go gets what the others leave, less a thirty-second of the total, or 8 MiB,
// or an eighth, but an eighth of the total at least and no more than it had.
func TestGoLimit(t *testing.T) {
	const mib, all = int64(1 << 20), int64(math.MaxInt64)
	for _, row := range []struct{ total, offHeap, previous, want int64 }{
		{1024 * mib, 0, all, 992 * mib},
		{1024 * mib, 100 * mib, all, 892 * mib},
		{1024 * mib, 864 * mib, all, 128 * mib},
		{1024 * mib, 864*mib - 1, all, 128*mib + 1},
		{1024 * mib, 865 * mib, all, 128 * mib},
		{1024 * mib, 9999 * mib, all, 128 * mib},
		{1024 * mib, 0, 500 * mib, 500 * mib},
		{1024 * mib, 9999 * mib, 10 * mib, 10 * mib},
		{256 * mib, 0, all, 248 * mib},
		{288 * mib, 0, all, 279 * mib},
		{128 * mib, 0, all, 120 * mib},
		{64 * mib, 0, all, 56 * mib},
		{32 * mib, 0, all, 28 * mib},
		{8 * mib, 0, all, 7 * mib},
	} {
		if got := goLimit(row.total, row.offHeap, row.previous); got != row.want {
			t.Errorf("%+v: %d", row, got)
		}
	}
}

// TestBalanceSteps: a limit that is to fall by a 256th of the total or rise by a 64th is
// set, and smaller steps are not.
func TestBalanceSteps(t *testing.T) {
	setGoLimit(t, math.MaxInt64)
	const total = int64(4 << 30)
	for _, row := range []struct {
		step int64 // from what is applied to what is wanted
		set  bool
	}{
		{0, false}, {1, false}, {-1, false},
		{-total / 256, true}, {-total/256 + 1, false},
		{total / 64, true}, {total/64 - 1, false},
		{-total / 64, true}, {total / 256, false},
	} {
		// The figures may move between two looks at them.
		for range 100 {
			before := backedByAll()
			want := goLimit(total, before, math.MaxInt64)
			b := balancer{total: total, previous: math.MaxInt64, applied: want - row.step}
			b.look(false)
			if backedByAll() != before {
				continue
			}
			if got := b.changes == 1; got != row.set || got && (b.applied != want || debug.SetMemoryLimit(-1) != want) {
				t.Errorf("a step of %d bytes: set is %v, to %d; want %v, to %d", row.step, got, b.applied, row.set, want)
			}
			break
		}
	}
	b := balancer{total: total, previous: math.MaxInt64, applied: math.MaxInt64, metadata: 100 << 20}
	b.look(false)
	if want := goLimit(total, backedByAll()+100<<20, math.MaxInt64); b.metadata != 100<<20 || b.applied != want {
		t.Errorf("a look without tables counts %d bytes of them, and sets %d, want %d", b.metadata, b.applied, want)
	}
}

// TestBalanceOnce: one call is in force at a time, and after one that fails or has ended
// another can be.
func TestBalanceOnce(t *testing.T) {
	setGoLimit(t, 3<<30)
	if _, err := BalanceMemoryLimit(1); err == nil {
		t.Fatal("one byte is a total")
	}
	for range 2 {
		stop, err := BalanceMemoryLimit(1 << 30)
		if err != nil {
			t.Fatal(err)
		}
		if now := debug.SetMemoryLimit(-1); now >= 1<<30 || now < 1<<27 {
			t.Errorf("Go's limit is %d", now)
		}
		if _, err := BalanceMemoryLimit(1 << 30); err == nil {
			t.Error("two are in force")
		}
		stop()
		stop()
		if now := debug.SetMemoryLimit(-1); now != 3<<30 {
			t.Errorf("afterwards Go's limit is %d", now)
		}
	}
}
