//go:build !vcpualloc_gomem

package alloc

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// processMemory returns address space and resident memory of this process in
// bytes, and the number of its mappings.
func processMemory(t *testing.T) (size, resident int64, mappings int) {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	page := int64(unix.Getpagesize())
	return size * page, resident * page, bytes.Count(maps, []byte("\n"))
}

// resident returns how much memory the blocks of a take, in bytes.
func resident(t *testing.T, a *Allocator) int64 {
	t.Helper()
	bytes, err := a.heap.Resident()
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestTrimReturnsMemory checks that freed memory goes back to the system, by
// the allocator's figures and by the kernel's.
func TestTrimReturnsMemory(t *testing.T) {
	const total, slack = 48 << 20, 8 << 20
	for _, n := range []int{4096, 1 << 20} {
		a := open(t, Options{})
		debug.FreeOSMemory()
		var blocks [][]byte
		for range total / n {
			b := must(t)(a.AllocUninit(n))
			fill(b, 1)
			blocks = append(blocks, b)
		}
		_, full, _ := processMemory(t)
		a.FreeBatch(blocks)
		before := a.Stats()
		released, err := a.Trim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		after := a.Stats()
		if released < total-slack || after.Released-before.Released < released || before.Backed-after.Backed < released {
			t.Errorf("%d bytes: %d released, Released grew by %d, Backed fell by %d",
				n, released, after.Released-before.Released, before.Backed-after.Backed)
		}
		if _, empty, _ := processMemory(t); full-empty < total-slack {
			t.Errorf("%d bytes: %d resident before, %d after", n, full, empty)
		}
		checkQuiet(t, a, 0)
		checkBlock(t, a, must(t)(a.Alloc(n)), n)
	}
}

// TestNothingIsLeftBehind opens and closes allocators, with blocks in use.
func TestNothingIsLeftBehind(t *testing.T) {
	cycle := func() {
		a, err := New(Options{Reserve: 256 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{10, 1000, 100_000, 1 << 20} {
			b := must(t)(a.AllocUninit(n))
			b[0] = 1
			a.Free(must(t)(a.AllocUninit(n)))
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		cycle()
	}
	size, resident, mappings := processMemory(t)
	for range 500 {
		cycle()
	}
	sizeAfter, residentAfter, mappingsAfter := processMemory(t)
	// One allocator takes more than 1 GiB of addresses and 5 mappings; the
	// runtime may need some for itself meanwhile.
	if sizeAfter-size > 512<<20 || residentAfter-resident > 64<<20 || mappingsAfter-mappings > 50 {
		t.Errorf("after 500 allocators: %d bytes of addresses, %d resident and %d mappings more",
			sizeAfter-size, residentAfter-resident, mappingsAfter-mappings)
	}
}

// sparse is how much TestTrimReturnsSparseSpans fills.
var sparse = flag.Int("sparse", 64<<20, "bytes that TestTrimReturnsSparseSpans fills")

// TestTrimReturnsSparseSpans frees most of many blocks at random: what stays is
// spread over all spans, and the OS pages between must come back all the same.
func TestTrimReturnsSparseSpans(t *testing.T) {
	const kept = 10 // one block in so many
	total := *sparse
	random := steady.Random(t)
	a := open(t, Options{Reserve: int64(4 * total)})
	var blocks, live [][]byte
	for size := 0; size < total; {
		b := must(t)(a.AllocUninit(16 + random.IntN(2033)))
		fill(b[:cap(b)], byte(len(blocks)))
		blocks = append(blocks, b)
		size += cap(b)
	}
	liveSize := 0
	check := func(when string) {
		for _, b := range live {
			if i := firstOther(b[:cap(b)], b[0]); i >= 0 {
				t.Fatalf("%s: byte %d of a block of %d is %#x, not %#x", when, i, cap(b), b[i], b[0])
			}
		}
	}
	for _, b := range blocks {
		if random.IntN(kept) == 0 {
			live = append(live, b)
			liveSize += cap(b)
		} else {
			a.Free(b)
		}
	}
	full := resident(t, a)
	before := a.Stats()
	released, err := a.Trim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trimmed := resident(t, a)
	t.Logf("live %d, resident %d, after Trim %d (%d said to be released)", liveSize, full, trimmed, released)
	check("after Trim")
	// Live blocks are a tenth: of four objects of 1 KiB on an OS page one or more are
	// live with a probability of a third, of sixteen on a larger page with one of 0.8.
	stay := 1 - math.Pow(0.9, float64(os.Getpagesize())/1024)
	if float64(trimmed) > float64(full)*(stay+0.11) {
		t.Errorf("%d bytes of %d are resident after Trim, %d are live", trimmed, full, liveSize)
	}
	after := a.Stats()
	if fell := before.Backed - after.Backed; fell != released || after.Gone == 0 {
		t.Errorf("%d released, but Backed fell by %d; %d gone", released, fell, after.Gone)
	}
	// What comes back is used again, and nothing that is live is touched.
	for range 20_000 {
		b := must(t)(a.Alloc(16 + random.IntN(2033)))
		if i := firstOther(b[:cap(b)], 0); i >= 0 {
			t.Fatalf("byte %d of a zeroed block of %d is %#x", i, cap(b), b[i])
		}
		fill(b[:cap(b)], 0xee)
	}
	check("after new blocks")
	if a.Stats().Gone >= after.Gone {
		t.Errorf("%d bytes gone before new blocks, %d after", after.Gone, a.Stats().Gone)
	}
}

// dataOfProcess returns what counts towards RLIMIT_DATA, in bytes.
func dataOfProcess() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, line, _ := bytes.Cut(status, []byte("VmData:"))
	var kilobytes uint64
	_, err = fmt.Fscan(bytes.NewReader(line), &kilobytes)
	return kilobytes << 10, err
}
