package arena

import (
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// slowTimes is what refills and flushes take, and two looks at the clock.
type slowTimes struct{ refill, flush, clock []time.Duration }

// median returns the middle one of times, which it sorts.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// timeSlow runs refills and flushes of a class in turn, on a magazine between empty and full,
// with growth refused or with a magazine that has all that it may have.
func timeSlow(b *testing.B, class uint8, refused bool, count int) (got slowTimes) {
	h := openHeap(b, 256<<20, 0)
	h.upkeep.end() // nothing else runs
	batch := int(classes[class].batch)
	objects := make([]unsafe.Pointer, 0, 8*maxBatch+int(classes[class].magazine))
	for range cap(objects) {
		object, err := h.Alloc(class)
		if err != nil {
			b.Fatal(err)
		}
		objects = append(objects, object)
	}
	array := make([]unsafe.Pointer, 2*len(objects))
	for h.Magazines.PopBatch(int(class), array) > 0 {
	}
	h.Magazines.Shrink(h.Magazines.Here(), int(class), int(classes[class].magazine))
	if refused {
		h.capacity.most = 0
	} else {
		h.Magazines.Grow(int(class), int(classes[class].magazine))
	}
	slab := h.Magazines.Here()
	room, _ := h.Magazines.Capacity(slab, int(class))
	if room == 0 {
		b.Skip("a magazine that has not grown holds none of these")
	}
	t := &h.nodes[0].transfer[class]
	t.take(array)
	t.give(class, objects[:min(4*batch, transferCapacity(class)-batch)])
	objects = append(make([]unsafe.Pointer, 0, room+2*maxBatch), objects[len(objects)-room-1:]...)
	for range count {
		h.Magazines.PushBatch(int(class), objects[:room])
		begin := time.Now()
		h.Free(class, objects[room])
		middle := time.Now()
		nothing := time.Now()
		held := h.Magazines.PopBatch(int(class), objects[:room])
		before := time.Now()
		object, err := h.Alloc(class)
		after := time.Now()
		got.flush, got.refill, got.clock = append(got.flush, middle.Sub(begin)), append(got.refill, after.Sub(before)), append(got.clock, nothing.Sub(middle))
		if err != nil || held == room {
			b.Fatalf("%v, %d of %d objects are left", err, held, room)
		}
		// A magazine may have room for less than a batch, and then for more of a refill
		// than a flush took.
		held += h.Magazines.PopBatch(int(class), objects[held:cap(objects)])
		objects = objects[:held+1]
		objects[held] = object
		if held < room && h.Magazines.Here() != slab {
			return got // it has moved
		} else if held < room {
			b.Fatalf("%d objects, not %d", held, room)
		}
		t.give(class, objects[room+1:])
	}
	return got
}

// BenchmarkSlow times one refill, which takes a batch out of the transfer cache, and one
// flush, which puts one there: the least median of some rounds, without the clock.
func BenchmarkSlow(b *testing.B) {
	for _, size := range []int{8, 16, 64, 128, 256, 512, 1024, 4096, 32768} {
		class := ClassOf(size)
		own := classes[class].batch
		for _, batch := range []uint32{64, 256} {
			if batch > own {
				batch = own
			}
			for _, growth := range []string{"refused", "done"} {
				b.Run(fmt.Sprintf("size=%d/batch=%d/growth=%s", size, batch, growth), func(b *testing.B) {
					classes[class].batch = batch
					defer func() { classes[class].batch = own }()
					const rounds, count = 20, 200
					refill, flush, clock := time.Hour, time.Hour, time.Hour
					for b.Loop() {
						for range rounds {
							var got slowTimes
							if steady.OnOneVCPU(b, func() { got = timeSlow(b, class, growth == "refused", count) }) {
								refill, flush, clock = min(refill, median(got.refill)), min(flush, median(got.flush)), min(clock, median(got.clock))
							}
						}
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(refill-clock), "ns/refill")
					b.ReportMetric(float64(flush-clock), "ns/flush")
				})
			}
			if batch == own {
				break
			}
		}
	}
}
