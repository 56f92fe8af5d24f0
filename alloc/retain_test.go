//go:build !vcpualloc_gomem

package alloc

import (
	"fmt"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// TestRetainOption frees large blocks: what Retain and its default let stay does.
func TestRetainOption(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing is ever returned
	}
	const blocks, each = 24, 4 << 20
	parent := open(t, Options{Name: "parent", Retain: 12 << 20, ReleaseDelay: time.Hour, Reserve: 256 << 20})
	for _, row := range []struct {
		name string
		a    *Allocator
		want int64
	}{
		{"of itself", open(t, Options{ReleaseDelay: time.Hour, Reserve: 256 << 20}), 64 << 20},
		{"asked for", open(t, Options{Retain: 8 << 20, ReleaseDelay: time.Hour, Reserve: 256 << 20}), 8 << 20},
		{"any", open(t, Options{Retain: -1, ReleaseDelay: time.Hour, Reserve: 256 << 20}), blocks * each},
		{"by hand", open(t, Options{ReleaseDelay: -1, Reserve: 256 << 20}), blocks * each},
		{"by hand, and asked for", open(t, Options{Retain: 8 << 20, ReleaseDelay: -1, Reserve: 256 << 20}), 8 << 20},
		{"parent's", child(t, parent, Options{Reserve: 256 << 20}), 12 << 20},
		{"its own", child(t, parent, Options{Retain: 4 << 20, Reserve: 256 << 20}), 4 << 20},
	} {
		var list [][]byte
		for range blocks {
			list = append(list, must(t)(row.a.AllocUninit(each)))
		}
		for _, b := range list {
			row.a.Free(b)
		}
		if free := row.a.Stats().PageHeapFree; free != row.want {
			t.Errorf("%s: %d bytes are free and not returned, want %d", row.name, free, row.want)
		}
	}
}

// TestReleaseRateOption frees 16 MiB, of which a 16th may go in a second.
func TestReleaseRateOption(t *testing.T) {
	if !osmem.CanRelease {
		return // nothing is ever returned
	}
	if a, err := New(Options{ReleaseRate: minReleaseRate - 1}); err == nil {
		a.Close()
		t.Error("a rate below the least is taken")
	}
	const reserve = 64 << 20
	parent := open(t, Options{ReleaseRate: minReleaseRate, ReleaseDelay: 20 * time.Millisecond, Reserve: reserve})
	for name, a := range map[string]*Allocator{"own": parent, "parent's": child(t, parent, Options{Reserve: reserve})} {
		began := time.Now()
		a.Free(must(t)(a.AllocUninit(16 << 20)))
		// Several rounds, of which each returns what the rate allows in that time.
		for last, rounds := int64(0), 0; rounds < 3; rounds++ {
			stress.Until(t, func() error {
				now := a.Stats().Released
				if now == last {
					return fmt.Errorf("%s: %d bytes are returned after %d rounds", name, now, rounds)
				}
				last = now
				return nil
			})
		}
		// Slow rounds cannot break the bound: the time is read after the figure.
		released := a.Stats().Released
		if most := int64(time.Since(began).Seconds()*minReleaseRate) + 64<<10; released > most {
			t.Errorf("%s: %d bytes were returned in %v, at most %d may be", name, released, time.Since(began), most)
		}
	}
}
