package alloc

import (
	"testing"
	"unsafe"
)

// TestRegionNewIsBytes: RegionNew, which has the fast path of Bytes for a size that the
// compiler knows, takes as much of the chunk, and clears as much ahead, at every place in it.
func TestRegionNewIsBytes(t *testing.T) {
	t.Run("1", regionNewIsBytes[byte])
	t.Run("8", regionNewIsBytes[int64])
	t.Run("13", regionNewIsBytes[[13]byte])
	t.Run("48", regionNewIsBytes[plain])
	t.Run("5000", regionNewIsBytes[[5000]byte])
	t.Run("300000", regionNewIsBytes[[300_000]byte])
}

func regionNewIsBytes[T any](t *testing.T) {
	const chunk = 64 << 10
	a := open(t, Options{})
	typed, plain := NewRegion(a, RegionOptions{Chunk: chunk}), NewRegion(a, RegionOptions{Chunk: chunk})
	size := int(unsafe.Sizeof(*new(T)))
	for _, r := range []*Region{typed, plain} {
		fill(must(t)(r.BytesUninit(8)), 0xff) // makes the first chunk
		fill(r.chunks[0], 0xff)
		r.Reset()
	}
	for i := 0; i < 2*chunk; i += size {
		p, err := RegionNew[T](typed)
		if err != nil {
			t.Fatal(err)
		}
		b := unsafe.Slice((*byte)(unsafe.Pointer(p)), size)
		if other := firstOther(b, 0); other >= 0 {
			t.Fatalf("byte %d of the object behind %d bytes is %d", other, i, b[other])
		}
		fill(b, 0xff)
		fill(must(t)(plain.Bytes(size)), 0xff)
		if typed.room != plain.room || typed.dirty != plain.dirty || typed.used != plain.used || len(typed.own) != len(plain.own) {
			t.Fatalf("behind %d bytes: room for %d, %d of them dirty, %d chunks and %d blocks; with Bytes %d, %d, %d and %d", i,
				typed.room, typed.dirty, typed.used, len(typed.own), plain.room, plain.dirty, plain.used, len(plain.own))
		}
	}
	typed.Release()
	plain.Release()
	checkQuiet(t, a, 0)
}

// TestRegionNewOfNothing: a T without bytes lies in no allocator's memory, as an empty slice
// does, though the chunk has room.
func TestRegionNewOfNothing(t *testing.T) {
	a := open(t, Options{})
	r := NewRegion(a, RegionOptions{})
	must(t)(r.Bytes(8))
	p, err := RegionNew[struct{}](r)
	if err != nil || p == nil || a.Owns(unsafe.Slice((*byte)(unsafe.Pointer(p)), 0)) {
		t.Errorf("%p, %v", p, err)
	}
	r.Release()
	checkQuiet(t, a, 0)
}
