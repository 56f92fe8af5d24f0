//go:build !vcpualloc_gomem

package alloc

import (
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStatsCountCaches checks that the magazines of a cache are in the figures of its
// allocator while it is open.
func TestStatsCountCaches(t *testing.T) {
	a := open(t, Options{})
	before := a.Stats()
	c, err := NewCache(a, CacheOptions[[64]byte]{Capacity: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		object, err := c.Get()
		if err != nil {
			t.Fatal(err)
		}
		c.Put(object)
	}
	during := a.Stats()
	if more := during.Metadata - before.Metadata; more < 1000*8 || during.Reserved <= before.Reserved {
		t.Errorf("a cache of 1000 objects: %d bytes of metadata more, %d reserved, %d before", more, during.Reserved, before.Reserved)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, reserved := a.besides.sizes(); reserved != 0 {
		t.Errorf("closed, %d bytes are still counted", reserved)
	}
}

// TestClosedCachesGiveBack makes and closes caches without a collection until the
// system backs no more of them.
func TestClosedCachesGiveBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	a := open(t, Options{})
	const room, caches = 192 << 20, 100 // of which a dozen fit
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &before); err != nil {
		t.Fatal(err)
	}
	used, err := dataOfProcess()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: used + room, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_DATA, &before)
	for i := range caches {
		c, err := NewCache(a, CacheOptions[[64]byte]{})
		if err != nil {
			t.Fatalf("cache %d: %v", i, err)
		}
		object, err := c.Get()
		if err != nil {
			t.Fatalf("cache %d: %v", i, err)
		}
		c.Put(object)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if closed := shut.Load(); closed > caches/2 {
		t.Errorf("%d closed caches keep their addresses", closed)
	}
}
