package alloc

import (
	"slices"
	"testing"
	"time"
	"sync"
	"unsafe"
)

func TestPairFigure(t *testing.T) {
	a := Default()
	pool := sync.Pool{New: func() any { return unsafe.Pointer(&[64]byte{}) }}
	const slices_, n = 300, 50000
	bodies := map[string]func(){
		"64":   func() { for range n { b, _ := a.AllocUninit(64); b[0] = 1; a.Free(b) } },
		"1024": func() { for range n { b, _ := a.AllocUninit(1024); b[0] = 1; a.Free(b) } },
		"32K": func() { for range n { b, _ := a.AllocUninit(32<<10); b[0] = 1; a.Free(b) } },
		"zeroed64":   func() { for range n { b, _ := a.Alloc(64); b[0] = 1; a.Free(b) } },
		"zeroed1024":   func() { for range n { b, _ := a.Alloc(1024); b[0] = 1; a.Free(b) } },
		"pool": func() { for range n { p := pool.Get().(unsafe.Pointer); *(*byte)(p) = 1; pool.Put(p) } },
	}
	got := map[string][]float64{}
	for range slices_ {
		for name, body := range bodies {
			start := time.Now()
			body()
			got[name] = append(got[name], float64(time.Since(start).Nanoseconds())/n)
		}
	}
	for name := range bodies {
		slices.Sort(got[name])
		t.Logf("%s: %.2f %.2f", name, got[name][slices_/100], got[name][slices_/2])
	}
}
