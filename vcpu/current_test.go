package vcpu

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

func TestCurrentIsBelowMax(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 * Max()))
	if Max() < 1 || Max() != indexHere().max {
		t.Fatalf("Max is %d", Max())
	}
	seen := make([]atomic.Int64, Max())
	var all sync.WaitGroup
	for number := range 64 {
		all.Go(func() {
			if number%4 == 0 {
				runtime.LockOSThread() // never unlocked: its thread dies
			}
			for range 2000 {
				id := Current()
				if id < 0 || id >= Max() {
					t.Errorf("id %d, not in [0, %d)", id, Max())
					return
				}
				seen[id].Add(1)
				if number%8 == 1 {
					runtime.Gosched()
				}
			}
		})
	}
	all.Wait()
	total := int64(0)
	for id := range seen {
		total += seen[id].Load()
	}
	if total != 64*2000 && !t.Failed() {
		t.Errorf("%d ids, want %d", total, 64*2000)
	}
}

// TestMaxCoversThePs checks that Max covers the possible CPUs, and in Assigned
// mode the Ps at its first call.
func TestMaxCoversThePs(t *testing.T) {
	if Max() < possibleCPUs() {
		t.Errorf("Max is %d, %d CPUs are possible", Max(), possibleCPUs())
	}
	if Max() < runtime.NumCPU() {
		t.Errorf("Max is %d on %d CPUs", Max(), runtime.NumCPU())
	}
}

func TestCurrentAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, func() { Current() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNode(t *testing.T) {
	node := Node()
	if runtime.GOOS != "linux" {
		if node != -1 {
			t.Errorf("node %d, want -1", node)
		}
		return
	}
	if node < 0 || node != systemNode() && !hasNodes(t) {
		t.Errorf("node %d, the kernel says %d", node, systemNode())
	}
	if !Probe().Has(rseq.EndNodeID) {
		return
	}
	// From the area, too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if field := rseq.Field(rseq.OffsetNodeID); rseq.EnsureThread() && field != rseq.NoID && int(field) != Node() && !hasNodes(t) {
		t.Errorf("node %d in the area, %d from Node", field, Node())
	}
}

// TestWhere asks from many goroutines. Where a CPU is the id, its node is known.
func TestWhere(t *testing.T) {
	var all sync.WaitGroup
	for number := range 16 {
		all.Go(func() {
			if number%4 == 0 {
				runtime.LockOSThread() // never unlocked: its thread dies
			}
			for range 500 {
				id, node := Where()
				if id < 0 || id >= Max() || runtime.GOOS == "linux" && node < 0 || node > 1024 {
					t.Errorf("id %d of %d, node %d", id, Max(), node)
					return
				}
				folder := fmt.Sprintf("/sys/devices/system/node/node%d", node)
				if _, err := os.Stat(folder); Probe().Mode != CPUID || err != nil {
					continue
				}
				if _, err := os.Stat(fmt.Sprintf("%s/cpu%d", folder, id)); err != nil {
					t.Errorf("CPU %d on node %d: %v", id, node, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// hasNodes reports whether a thread can be on different nodes.
func hasNodes(t *testing.T) bool {
	list, err := os.ReadFile("/sys/devices/system/node/possible")
	if err != nil {
		t.Log(err)
		return false
	}
	return strings.TrimSpace(string(list)) != "0"
}
