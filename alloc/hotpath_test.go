package alloc

import "testing"

// TestHotPathLeavesTheGoHeapAlone counts what the fast paths allocate there.
func TestHotPathLeavesTheGoHeapAlone(t *testing.T) {
	a := open(t, Options{})
	pair := func(alloc func(int) ([]byte, error), n int) func() {
		return func() {
			b, err := alloc(n)
			if err != nil {
				t.Fatal(err)
			}
			a.Free(b)
		}
	}
	r, large := NewRegion(a, RegionOptions{}), NewRegion(a, RegionOptions{Chunk: 4 << 20})
	defer r.Release()
	defer large.Release()
	batch := make([][]byte, 100)
	for name, run := range map[string]func(){
		"AllocUninit(64)":  pair(a.AllocUninit, 64),
		"Alloc(64)":        pair(a.Alloc, 64),
		"Alloc(0)":         pair(a.Alloc, 0),
		"Alloc(4096)":      pair(a.Alloc, 4096),
		"Alloc(256 KiB)":   pair(a.Alloc, 256<<10),
		"Alloc(300 KiB)":   pair(a.Alloc, 300<<10),
		"AllocAligned":     pair(func(n int) ([]byte, error) { return a.AllocAligned(n, 4096) }, 100),
		"Realloc":          pair(func(n int) ([]byte, error) { b, _ := a.Alloc(8); return a.Realloc(b, n) }, 5000),
		"batch, to a span": func() { n, _ := a.AllocBatch(batch, 20_000); a.FreeBatch(batch[:n]) },
		"NewOf": func() {
			p, err := NewOf[plain](a)
			if err != nil {
				t.Fatal(err)
			}
			FreeOf(a, p)
		},
		"NewOf of a large type": func() {
			p, err := NewOf[[400_000]byte](a)
			if err != nil {
				t.Fatal(err)
			}
			FreeOf(a, p)
		},
		"MakeSlice of a large type": func() {
			s, err := MakeSlice[[400_000]byte](a, 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			FreeSlice(a, s)
		},
		"RegionNew": func() {
			if _, err := RegionNew[plain](r); err != nil {
				t.Fatal(err)
			}
			r.Reset()
		},
		"RegionNew and RegionSlice of a large type": func() {
			_, err := RegionNew[[400_000]byte](large)
			if _, err2 := RegionSlice[[400_000]byte](large, 1); err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			large.Reset()
		},
		"MakeSlice": func() {
			s, err := MakeSlice[plain](a, 10, 10)
			if err != nil {
				t.Fatal(err)
			}
			FreeSlice(a, s)
		},
	} {
		if got := testing.AllocsPerRun(200, run); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
