package workload

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

func TestHeapsGiveWhatIsAsked(t *testing.T) {
	for _, peer := range Peers() {
		at, err := peer.open()
		if err != nil {
			t.Fatal(err)
		}
		held := map[*byte]bool{}
		blocks := [][]byte{}
		for _, size := range []int{1, 8, 9, 64, 100, 1000, 4096, 4097, 32 << 10, maxBlock} {
			for range 3 {
				b := at.alloc(size)
				if len(b) != size {
					t.Errorf("%s: alloc(%d) has length %d", peer.Name, size, len(b))
				}
				b[0], b[size-1] = 1, 1
				if first := unsafe.SliceData(b); held[first] && peer.Name != Empty {
					t.Errorf("%s: alloc(%d) gives a block that is in use", peer.Name, size)
				} else {
					held[first] = true
				}
				blocks = append(blocks, b)
			}
		}
		for _, b := range blocks {
			at.free(b)
		}
		if err := at.close(); err != nil {
			t.Errorf("%s: %v", peer.Name, err)
		}
	}
}

// TestPoolClasses compares the pools' table with the size classes that it
// stands for, for every size.
func TestPoolClasses(t *testing.T) {
	pools, err := newClassPools()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= maxBlock; n++ {
		class := pools.class[(n+granule-1)/granule]
		if got, want := pools.size[class], alloc.GoodSize(n); got != want {
			t.Fatalf("a pool rounds %d bytes to %d, GoodSize to %d", n, got, want)
		}
	}
}

func TestPoolsDoNotAllocate(t *testing.T) {
	pools, err := newClassPools()
	if err != nil {
		t.Fatal(err)
	}
	if raceDetector {
		return // sync.Pool drops values at random then
	}
	pools.put(pools.get(64))
	if got := testing.AllocsPerRun(1000, func() { pools.put(pools.get(64)) }); got != 0 {
		t.Errorf("a get and put of a pool makes %f allocations on the Go heap, want none", got)
	}
}
