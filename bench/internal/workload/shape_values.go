package workload

import (
	"math/bits"
	"sync"
	"time"
	"unsafe"
)

// The shape of a large map of small values, such as a cache has: what does the
// memory that is just there cost, and whom does the collector keep waiting?

const (
	valueSize    = 128 // bytes
	valueCount   = 10_000_000
	valueStripes = 1024
)

// values is a table of blocks of valueSize bytes. Stripes of it have a mutex
// each, so that nobody reads a value that is being freed. Where the values lie
// outside of the Go heap the table holds addresses, which the collector does not
// look at, as a program that keeps them there would have it.
type values struct {
	pointers  []*byte
	addresses []uintptr
	stripes   [valueStripes]struct {
		sync.Mutex
		_ [56]byte // to a cache line
	}
}

func newValues(count int, offHeap bool) *values {
	if offHeap {
		return &values{addresses: make([]uintptr, count)}
	}
	return &values{pointers: make([]*byte, count)}
}

func (v *values) len() int { return max(len(v.pointers), len(v.addresses)) }

// swap puts a value into place i and returns the old one, nil if there was none.
// The caller holds the stripe.
func (v *values) swap(i int, first *byte) *byte {
	if v.addresses != nil {
		old := v.addresses[i]
		v.addresses[i] = uintptr(unsafe.Pointer(first))
		return atAddress(old)
	}
	old := v.pointers[i]
	v.pointers[i] = first
	return old
}

// at is the value in place i; the caller holds the stripe.
func (v *values) at(i int) *byte {
	if v.addresses != nil {
		return atAddress(v.addresses[i])
	}
	return v.pointers[i]
}

// atAddress turns the address of memory that is not Go's into a pointer to it.
// The detour by the address of the address tells vet that this is meant.
func atAddress(address uintptr) *byte { return *(**byte)(unsafe.Pointer(&address)) }

// set replaces count random values.
func setValues[H heap](h H, v *values, r *random, count int) {
	for range count {
		i := r.below(v.len())
		setValue(h, v, i)
	}
}

func setValue[H heap](h H, v *values, i int) {
	b := h.alloc(valueSize)
	writeIndices(b)
	stripe := &v.stripes[i%valueStripes]
	stripe.Lock()
	old := v.swap(i, unsafe.SliceData(b))
	stripe.Unlock()
	if old != nil {
		h.free(unsafe.Slice(old, valueSize))
	}
}

// latencies counts durations in buckets of a sixteenth of a power of two.
type latencies struct{ buckets [64 * 16]int64 }

func (l *latencies) add(d time.Duration) {
	ns := uint64(max(d, 1))
	power := bits.Len64(ns) - 1
	part := ns << 4 >> power & 15
	l.buckets[power*16+int(part)]++
}

// quantile returns the upper end of the bucket, in ns, at or below which that
// share of all lies.
func (l *latencies) quantile(share float64) float64 {
	total := int64(0)
	for _, count := range l.buckets {
		total += count
	}
	below := int64(0)
	for i, count := range l.buckets {
		if below += count; count > 0 && float64(below) >= share*float64(total) {
			return float64(uint64(1)<<(i/16)) * (1 + float64(i%16+1)/16)
		}
	}
	return 0
}

func valueTable(s scene) plan {
	table := newValues(s.portion(valueCount, s.time), s.offHeap)
	writing, reading := newRandom(s.seed, 0), newRandom(s.seed, 1)
	waited, sum := apart(latencies{}), apart(uint64(0))
	writer := worker{
		prepare: func() {
			for i := range table.len() {
				s.setValue(table, i)
			}
		},
		step: func() int {
			s.setValues(table, writing, stride)
			return stride
		},
		finish: func() {
			for i := range table.len() {
				if first := table.swap(i, nil); first != nil {
					s.free(unsafe.Slice(first, valueSize))
				}
			}
		},
	}
	reader := worker{step: func() int {
		for range stride {
			i := reading.below(table.len())
			stripe := &table.stripes[i%valueStripes]
			begin := time.Now()
			stripe.Lock()
			*sum += readWords(unsafe.Slice(table.at(i), valueSize))
			stripe.Unlock()
			waited.add(time.Since(begin))
		}
		return 0
	}}
	return plan{
		workers: []worker{writer, reader},
		begin:   func() { *waited = latencies{} },
		figures: func() map[string]float64 {
			return map[string]float64{
				"read_median_ns": waited.quantile(0.5), "read_p99.9_ns": waited.quantile(0.999), "read_longest_ns": waited.quantile(1),
			}
		},
	}
}
