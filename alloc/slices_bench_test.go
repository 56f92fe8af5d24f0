package alloc

import (
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// pairOperations is how many operations one slice of BenchmarkSlices has: about
// 0.3 ms, less than the time that the kernel gives a thread on a busy machine.
const pairOperations = 50_000

// slicePeer is one way to do something pairOperations times.
type slicePeer struct {
	name string
	body func()
}

// slicePeers returns what docs/performance.md compares. Each has a loop of its own:
// a call of a closure in it would be a part of what is measured.
func slicePeers(b *testing.B) []slicePeer {
	a := open(b, Options{})
	cache := openCache(b, a, CacheOptions[record]{})
	region := NewRegion(a, RegionOptions{})
	pool := sync.Pool{New: func() any { return unsafe.Pointer(new([64]byte)) }}
	batch := make([][]byte, 1000)
	return []slicePeer{
		{"AllocUninit/size=64", func() {
			for range pairOperations {
				block, _ := a.AllocUninit(64)
				block[0] = 1
				a.Free(block)
			}
		}},
		{"AllocUninit/size=1024", func() {
			for range pairOperations {
				block, _ := a.AllocUninit(1024)
				block[0] = 1
				a.Free(block)
			}
		}},
		{"AllocUninit/size=32768", func() {
			for range pairOperations {
				block, _ := a.AllocUninit(32768)
				block[0] = 1
				a.Free(block)
			}
		}},
		{"AllocUninit/size=262144", func() {
			for range pairOperations {
				block, _ := a.AllocUninit(262144)
				block[0] = 1
				a.Free(block)
			}
		}},
		{"Alloc/size=64", func() {
			for range pairOperations {
				block, _ := a.Alloc(64)
				block[0] = 1
				a.Free(block)
			}
		}},
		{"Alloc/size=1024", func() {
			for range pairOperations {
				block, _ := a.Alloc(1024)
				block[0] = 1
				a.Free(block)
			}
		}},
		{"Cache/size=64", func() {
			for range pairOperations {
				p, _ := cache.Get()
				p.serial = 1
				cache.Put(p)
			}
		}},
		{"NewOf/size=64", func() {
			for range pairOperations {
				p, _ := NewOf[record](a)
				p.serial = 1
				FreeOf(a, p)
			}
		}},
		{"batch-of-1000/size=64", func() {
			for range pairOperations / len(batch) {
				for i := range batch {
					batch[i], _ = a.AllocUninit(64)
					batch[i][0] = 1
				}
				for _, block := range batch {
					a.Free(block)
				}
			}
		}},
		{"AllocBatchUninit-of-64/size=64", func() {
			for range pairOperations / 64 {
				n, _ := a.AllocBatchUninit(batch[:64], 64)
				a.FreeBatch(batch[:n])
			}
		}},
		{"ReallocUninit-doubling/size=16-1048576", func() {
			for range pairOperations / 1000 { // so that a slice is no longer than the others
				block, _ := a.AllocUninit(16)
				for size := 32; size <= 1<<20; size *= 2 {
					block, _ = a.ReallocUninit(block, size)
					block[size-1] = 1
				}
				a.Free(block)
			}
		}},
		{"Region.Bytes/size=64", func() {
			for range pairOperations / 1000 {
				for range 1000 {
					block, _ := region.Bytes(64)
					block[0] = 1
				}
				region.Reset()
			}
		}},
		{"sync.Pool/size=64", func() {
			for range pairOperations {
				p := pool.Get().(unsafe.Pointer)
				*(*byte)(p) = 1
				pool.Put(p)
			}
		}},
		{"make/size=64", func() {
			for range pairOperations {
				sink = make([]byte, 64)
			}
		}},
	}
}

// sink keeps the compiler from leaving out a make.
var sink []byte

// BenchmarkSlices lets its peers take turns, a slice each, and reports the first
// percentile of their times: what nobody disturbed, which a busy machine does not
// change much; of the doubling a thousandth. b.N is how many turns there are; run it with -benchtime 400x.
func BenchmarkSlices(b *testing.B) {
	peers := slicePeers(b)
	times := make([][]time.Duration, len(peers))
	for range b.N {
		for i, peer := range peers {
			began := time.Now()
			peer.body()
			times[i] = append(times[i], time.Since(began))
		}
	}
	for i, peer := range peers {
		slices.Sort(times[i])
		b.ReportMetric(float64(times[i][len(times[i])/100].Nanoseconds())/pairOperations, peer.name+"-ns")
	}
}
