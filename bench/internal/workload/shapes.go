package workload

import (
	"fmt"
	"time"
)

// Shape is one kind of work.
type Shape struct {
	Name    string
	About   string
	Default bool // part of a run that names no shapes

	// Parallel shapes have one worker for each stream of work that a figure
	// is meant for, so the time per operation is that of one worker; for the
	// others it is that of the whole process.
	Parallel bool

	Warm, Time time.Duration
	build      func(scene) plan
}

const (
	shortWarm, shortTime = 100 * time.Millisecond, 400 * time.Millisecond
	longWarm, longTime   = 250 * time.Millisecond, time.Second
)

// Shapes is the table of all shapes, in the order of reports.
func Shapes() []Shape {
	shapes := []Shape{}
	for _, size := range []int{16, 64, 1 << 10, 4 << 10, 32 << 10, maxBlock} {
		shapes = append(shapes, Shape{
			Name:    fmt.Sprintf("pair-%d", size),
			About:   fmt.Sprintf("one goroutine: allocate %d B, write byte 0, free", size),
			Default: size == 64 || size == 4<<10,
			Warm:    shortWarm, Time: shortTime,
			build: pairs(1, size),
		})
	}
	shapes = append(shapes,
		Shape{Name: "pair-64-two", About: "pair-64 in two goroutines at once, time per pair of one", Parallel: true,
			Warm: shortWarm, Time: shortTime, build: pairs(2, 64)},
		Shape{Name: "batch-fifo", About: "one goroutine: allocate 1000 blocks of 64 B, free them in the same order",
			Warm: shortWarm, Time: shortTime, build: batches(loops.batchFIFO)},
		Shape{Name: "batch-lifo", About: "one goroutine: allocate 1000 blocks of 64 B, free them in reverse order",
			Warm: shortWarm, Time: shortTime, build: batches(loops.batchLIFO)},
		Shape{Name: "producer-consumer", About: fmt.Sprintf("one goroutine allocates 64 B, another frees them, a ring of %d between", ringSlots),
			Warm: longWarm, Time: longTime, build: ringed},
	)
	for _, size := range []struct {
		goroutines, blocks int
		isDefault          bool
	}{{64, 1000, true}, {1000, 100, false}, {10000, 100, false}} {
		shapes = append(shapes, Shape{
			Name: fmt.Sprintf("live-%dx%d", size.goroutines, size.blocks),
			About: fmt.Sprintf("%d goroutines, each replacing random blocks of 16 to 1024 B among %d live ones",
				size.goroutines, size.blocks),
			Default: size.isDefault,
			Warm:    longWarm, Time: longTime,
			build: live(size.goroutines, size.blocks),
		})
	}
	return append(shapes,
		Shape{Name: "larson", About: "as live, 8 to 999 B among 5000, filled by another goroutine, slots inherited by fresh goroutines",
			Warm: longWarm, Time: longTime, build: larson},
		Shape{Name: "xmalloc-64", About: "two producers of batches of 4096 blocks of 64 B, two consumers that free them",
			Warm: longWarm, Time: longTime, build: xmalloc([]int{64})},
		Shape{Name: "xmalloc-mixed", About: "as xmalloc-64, with sizes of 8 to 2048 B",
			Warm: longWarm, Time: longTime, build: xmalloc(xmallocSizes)},
		Shape{Name: "glibc-thread", About: "a goroutine per CPU replaces random ones of 1024 blocks, 4 B to 32 KiB, mostly small, all bytes written",
			Warm: longWarm, Time: longTime, build: glibcThread},
	)
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
