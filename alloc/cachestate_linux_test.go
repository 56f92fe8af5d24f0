//go:build !vcpualloc_gomem

package alloc

import (
	"runtime/debug"
	"testing"
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
	if _, reserved := a.caches.sizes(); reserved != 0 {
		t.Errorf("closed, %d bytes are still counted", reserved)
	}
}

// TestClosedCachesGiveBack makes and closes caches without a collection but those
// that are made for them.
func TestClosedCachesGiveBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	a := open(t, Options{})
	for total := int64(0); total < 4*retiredMost; {
		c, err := NewCache(a, CacheOptions[[64]byte]{})
		if err != nil {
			t.Fatal(err)
		}
		object, err := c.Get()
		if err != nil {
			t.Fatal(err)
		}
		c.Put(object)
		reserved := c.state.magazines.Reserved()
		total += reserved
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		// What other tests have left, a collection may have found in use.
		if closed := retired.Load() - retiredKept.Load(); closed >= retiredMost+reserved {
			t.Fatalf("closed caches keep %d bytes of addresses", closed)
		}
	}
}
