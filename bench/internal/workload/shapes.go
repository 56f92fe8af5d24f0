package workload

import (
	"fmt"
	"slices"
	"time"
)

// Shape is one kind of work.
type Shape struct {
	Name    string
	About   string
	Default bool // part of a run that names no shapes

	// Parallel shapes have one worker for each stream of work that a figure
	// is meant for, so the time per operation is that of one CPU; for the
	// others it is that of the whole process.
	Parallel bool

	// Block is the length of every block in bytes, 0 where they differ.
	Block int

	// Limit is how many bytes the peer may take from the system, 0 for any number.
	Limit int64

	// Needs is what a peer must be able to do besides allocating and freeing.
	Needs Ability

	// GoOnly says that native peers do not do this shape, since it would need
	// more threads than a system has.
	GoOnly bool

	Warm, Time time.Duration

	// HarnessLimit is how many ns per operation the harness may take itself.
	HarnessLimit float64

	build func(scene) plan
}

// Ability is something that not every peer can do.
type Ability uint8

const (
	Grow  Ability = 1 << iota // clear what is handed out, and realloc
	Hold                      // have more than one block at a time
	Share                     // serve more than one goroutine at a time
	Free                      // free a block alone
	Bound                     // say no where there is no memory
)

// touching is the limit where the work is writing and reading the blocks, or
// handing them over, and the harness cannot be told from the work.
const touching = 1e9

const (
	shortWarm, shortTime = 100 * time.Millisecond, 400 * time.Millisecond
	longWarm, longTime   = 250 * time.Millisecond, time.Second
)

// Shapes is the table of all shapes, in the order of reports.
func Shapes() []Shape {
	shapes := slices.Concat(micro(), livings(), bounds(), classics())
	for i := range shapes {
		if shapes[i].Name != "drop" {
			shapes[i].Needs |= Free
		}
	}
	return shapes
}

var pairSizes = []int{16, 64, 1 << 10, 4 << 10, 32 << 10, maxBlock}

// micro are the microbenchmarks of few goroutines.
func micro() []Shape {
	shapes := []Shape{}
	add := func(s Shape) {
		s.Warm, s.Time = shortWarm, shortTime
		shapes = append(shapes, s)
	}
	for _, size := range pairSizes {
		add(Shape{Name: fmt.Sprintf("pair-%d", size), Block: size, HarnessLimit: 2,
			About:   fmt.Sprintf("one goroutine: allocate %d B, write byte 0, free", size),
			Default: size == 64 || size == 4<<10,
			build:   pairs(1, size)})
	}
	for _, size := range pairSizes {
		add(Shape{Name: fmt.Sprintf("pair-%d-two", size), Block: size, Parallel: true, Needs: Share, HarnessLimit: 2,
			About: fmt.Sprintf("pair-%d in two goroutines at once, time per pair of one", size),
			build: pairs(2, size)})
	}
	for _, count := range []int{16, 256, 4096, 16384} {
		add(Shape{Name: fmt.Sprintf("pair-64-x%d", count), Block: 64, Parallel: true, Needs: Share, GoOnly: count > 1000, HarnessLimit: 8,
			About: fmt.Sprintf("pair-64 in %d goroutines that take turns, time per pair of one CPU", count),
			build: crowd(count, 64)})
	}
	for _, size := range []int{64, 4 << 10, maxBlock} {
		add(Shape{Name: fmt.Sprintf("zeroed-%d", size), Needs: Grow, HarnessLimit: 2,
			About: fmt.Sprintf("as pair-%d, with cleared blocks: calloc, Alloc, make", size),
			build: zeroedPairs(size)})
	}
	for _, whole := range []bool{true, false} {
		name, about := "realloc-notouch", "writing the last byte"
		if whole {
			name, about = "realloc-touch", "writing each new half"
		}
		limit := 60.0 // of 16 calls
		if whole {
			limit = touching
		}
		add(Shape{Name: name, Needs: Grow, HarnessLimit: limit,
			About: "one goroutine: a block grows from 16 B to 1 MiB by doubling, " + about,
			build: growths(whole)})
	}
	add(Shape{Name: "batch-fifo", Block: 64, Needs: Hold, HarnessLimit: 4,
		About: "one goroutine: allocate 1000 blocks of 64 B, free them in the same order",
		build: batches(func(l loops, slots [][]byte) { l.batchFIFO(slots, 64) })})
	add(Shape{Name: "batch-lifo", Block: 64, Needs: Hold, HarnessLimit: 4,
		About: "one goroutine: allocate 1000 blocks of 64 B, free them in reverse order",
		build: batches(func(l loops, slots [][]byte) { l.batchLIFO(slots, 64) })})
	add(Shape{Name: "batch-calls", Block: 64, Needs: Hold, HarnessLimit: 4,
		About: "as batch-fifo, 960 blocks by calls for 64 at a time where the peer has them",
		build: batchCalls})
	add(Shape{Name: "drop", Block: dropSize, HarnessLimit: 4,
		About: "one goroutine: allocate 1000 blocks of 64 B, release all, with one call where the peer has one",
		build: drops})
	return shapes
}

// livings are the shapes whose goroutines keep blocks, and hand them over.
func livings() []Shape {
	shapes := []Shape{
		{Name: "producer-consumer", Warm: longWarm, Time: longTime, Block: ringSize, Needs: Hold | Share, build: ringed, HarnessLimit: touching,
			About: fmt.Sprintf("one goroutine allocates 64 B, another frees them, a ring of %d between", ringSlots)},
	}
	for _, size := range []struct {
		goroutines, blocks int
		isDefault, goOnly  bool
	}{{64, 1000, true, false}, {1000, 100, false, false}, {10000, 100, false, true}} {
		shapes = append(shapes, Shape{
			Name: fmt.Sprintf("live-%dx%d", size.goroutines, size.blocks), Needs: Hold | Share, HarnessLimit: 8,
			About: fmt.Sprintf("%d goroutines, each replacing random blocks of 16 to 1024 B among %d live ones",
				size.goroutines, size.blocks),
			Default: size.isDefault, GoOnly: size.goOnly,
			Warm: longWarm, Time: longTime,
			build: live(size.goroutines, size.blocks),
		})
	}
	shapes = append(shapes, Shape{Name: "values-10m", Block: valueSize, Needs: Hold | Share, GoOnly: true, build: valueTable,
		Warm: 500 * time.Millisecond, Time: 4 * time.Second, HarnessLimit: touching,
		About: "a table of 10 million values of 128 B: one goroutine replaces random ones, another reads; time per replacement"})
	return shapes
}

// bounds are the shapes about memory that comes back and limits that hold.
func bounds() []Shape {
	shapes := []Shape{
		{Name: "fragmentation", Needs: Hold, build: fragmentation, Warm: time.Millisecond,
			About: "1 GiB of 16 to 2048 B written, 90 % freed at random, 3 s, the rest freed, 2 s; time of the first two"},
		{Name: "burst", Needs: Hold | Share, build: burst, Warm: time.Millisecond,
			About: "beside 48 MiB in use, 1000 fresh goroutines fill 128 KiB each, free them and end; then a wait"},
	}
	const limit = 256 << 20
	for _, bound := range []struct {
		name, about string
		limit       int64
	}{{"unlimited", "no limit", 0}, {"limited", "a limit of 256 MiB", limit}} {
		shapes = append(shapes, Shape{Name: bound.name, Limit: bound.limit, Needs: Hold | Share | Bound, build: gluttons, Warm: time.Second,
			About: "64 goroutines that want 16 MiB each of blocks of 16 B to 32 KiB, written, and give half up when refused: " + bound.about})
	}
	for i := range shapes {
		shapes[i].Time, shapes[i].HarnessLimit = 4*time.Second, touching
	}
	return shapes
}

// classics are the published benchmarks.
func classics() []Shape {
	shapes := []Shape{
		{Name: "larson", build: larson, HarnessLimit: 5,
			About: "as live, 8 to 999 B among 5000, filled by another goroutine, slots inherited by fresh goroutines"},
		{Name: "xmalloc-64", build: xmalloc([]int{64}), HarnessLimit: 25,
			About: "two producers of batches of 4096 blocks of 64 B, two consumers that free them"},
		{Name: "xmalloc-mixed", build: xmalloc(xmallocSizes), HarnessLimit: 25,
			About: "as xmalloc-64, with sizes of 8 to 2048 B"},
		{Name: "glibc-thread", build: glibcThread, HarnessLimit: touching,
			About: "a goroutine per CPU replaces random ones of 1024 blocks, 4 B to 32 KiB, mostly small, all bytes written"},
		{Name: "glibc-simple", build: simple, HarnessLimit: 12,
			About: "one goroutine, at times a fresh one: 25 to 1600 blocks of 16, 32, 64 B, written, half freed in order, half in reverse"},
		{Name: "cfrac", build: cfrac, HarnessLimit: 8,
			About: "one goroutine, 16 blocks of 8 to 64 B, a random one replaced"},
		{Name: "espresso", build: espresso, HarnessLimit: 20,
			About: "one goroutine, a stack of up to 400 blocks of 8 to 300 B, a hundredth up to 9 KiB, up and down at random"},
		{Name: "sh6", build: sh6, HarnessLimit: 10,
			About: "4 goroutines fill arrays of 2500 with blocks of 1 to 709 B; a fifth is kept from one pass to the next"},
		{Name: "sh8", build: sh8, HarnessLimit: 10,
			About: "4 goroutines fill arrays of 250000, mostly with 8 to 48 B, and free what a fifth allocates"},
		{Name: "cache-scratch-1", build: scratchPad(1, true), Parallel: true, HarnessLimit: touching,
			About: "a goroutine frees a byte that main allocated, then writes 2 million times to a byte of its own"},
		{Name: "cache-scratch-2", build: scratchPad(2, true), Parallel: true, HarnessLimit: touching,
			About: "two goroutines, a million times each: half of cache-scratch-1 unless their bytes share a cache line"},
		{Name: "cache-thrash-1", build: scratchPad(1, false), Parallel: true, HarnessLimit: touching,
			About: "as cache-scratch-1 without the byte of main's"},
		{Name: "cache-thrash-2", build: scratchPad(2, false), Parallel: true, HarnessLimit: touching,
			About: "as cache-scratch-2 without the bytes of main's"},
		{Name: "alloc-test-1", build: allocTest(1), Parallel: true, HarnessLimit: touching,
			About: "262144 slots chosen by Pareto's law, emptied after reading or filled with 5 to 1024 B, all written"},
		{Name: "alloc-test-2", build: allocTest(2), Parallel: true, HarnessLimit: touching,
			About: "two goroutines with half of the slots each"},
		{Name: "mstress", build: mstress, HarnessLimit: touching,
			About: "two goroutines, the second fresh each round: items of 8 B to 5 MiB, all written and checked, some exchanged"},
		{Name: "rptest", build: rptest, HarnessLimit: 20,
			About: "two goroutines: 1000 slots of 8 to 16000 B, walked in strides, and lists of blocks for each other"},
	}
	for i := range shapes {
		s := &shapes[i]
		s.Needs, s.Warm, s.Time = Hold|Share, longWarm, longTime
	}
	return shapes
}

// ShapeByName returns the shape of that name.
func ShapeByName(name string) (Shape, error) {
	for _, shape := range Shapes() {
		if shape.Name == name {
			return shape, nil
		}
	}
	return Shape{}, fmt.Errorf("no shape %q: `bench list` shows what there is", name)
}
