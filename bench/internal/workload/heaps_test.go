package workload

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

func TestHeapsGiveWhatIsAsked(t *testing.T) {
	for _, peer := range Peers() {
		sizes := []int{1, 8, 9, 64, 100, 1000, 4096, 4097, 32 << 10, maxBlock, maxBlock + 1}
		if peer.blocks != nil {
			sizes = peer.blocks
		}
		for _, size := range sizes {
			blocks := 3
			if peer.Lacks&Hold != 0 {
				blocks = 1
			}
			t.Run(fmt.Sprintf("%s/%d", peer.Name, size), func(t *testing.T) { holdSome(t, peer, size, blocks) })
		}
	}
}

// holdSome allocates some blocks at once, all by itself and cleared, and lets
// one of them grow.
func holdSome(t *testing.T, peer Peer, size, count int) {
	at, err := peer.open(Shape{Block: size})
	if err != nil {
		t.Fatal(err)
	}
	blocks, held := [][]byte{}, map[*byte]bool{}
	for i := range count {
		b := at.alloc(size)
		if full, ok := at.loops.(fullHeap); ok && i == 1 {
			at.free(b)
			if b = full.zalloc(size); peer.Name != Empty && !bytes.Equal(b, make([]byte, size)) {
				t.Errorf("zalloc gives %d bytes that are not zero", size)
			}
		}
		if len(b) != size {
			t.Errorf("got a block of %d bytes, want %d", len(b), size)
		}
		first := unsafe.SliceData(b)
		if held[first] && peer.Name != Empty {
			t.Error("got a block that is in use")
		}
		held[first] = true
		for j := range b {
			b[j] = 1
		}
		blocks = append(blocks, b)
	}
	if full, ok := at.loops.(fullHeap); ok {
		grown := full.realloc(blocks[0], 2*size)
		if len(grown) != 2*size || grown[0] != 1 || grown[size-1] != 1 {
			t.Errorf("realloc gives %d bytes, of which the first %d are not what they were", len(grown), size)
		}
		blocks[0] = grown
	}
	for _, b := range blocks {
		at.free(b)
	}
	if dropping, ok := at.loops.(droppingHeap); ok {
		dropping.drop()
	}
	if err := at.close(false); err != nil {
		t.Error(err)
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
