//go:build !vcpualloc_gomem

package alloc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/race"
)

// childMappings is how many mappings a child takes that has blocks, as docs/memory.md and
// Child say; machine_linux_test.go of arena bounds those of any heap.
const childMappings = 12

// TestChildrenTakeFewMappings makes children and counts the mappings of the process.
func TestChildrenTakeFewMappings(t *testing.T) {
	const most, least, ofGo = 100, 10, 50    // Go may take some for itself meanwhile
	a, err := New(Options{ReleaseDelay: -1}) // of the default reservation
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if nodes := a.Stats().Nodes; nodes.Len() > 1 {
		t.Skipf("%d NUMA nodes: each takes mappings of its own", nodes.Len())
	}
	_, _, before := processMemory(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err != nil {
		t.Fatal(err)
	}
	children, reserve := 0, int64(0) // as much as the parent has
	if math.MaxInt == math.MaxInt32 || limit.Cur < 1<<40 {
		reserve = arena.MinReserve // addresses are few
	}
	for ; children < most; children++ {
		c, err := a.Child(Options{Reserve: reserve})
		if errors.Is(err, ErrNoMemory) && children >= least {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, n := range []int{16, 1000, 300_000} {
			must(t)(c.Alloc(n))
		}
	}
	_, _, after := processMemory(t)
	t.Logf("%d children take %d mappings", children, after-before)
	if after-before > children*childMappings+ofGo {
		t.Errorf("%d children take %d mappings, want at most %d each", children, after-before, childMappings)
	}
}

// ulimitVariable makes TestUlimitData the program that is limited.
const ulimitVariable = "VCPUALLOC_TEST_ULIMIT"

// TestUlimitData starts a program under `ulimit -d`, which counts what the Go runtime
// takes, too: most of a limit of 512 MiB is left for blocks, and the error names it.
func TestUlimitData(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector's own memory counts")
	}
	const limit = 512 << 20
	if os.Getenv(ulimitVariable) != "" {
		fillUlimit(t, limit)
		return
	}
	child := exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -d %d && exec "$0" -test.run='^TestUlimitData$' -test.v`, limit>>10), os.Args[0])
	child.Env = append(os.Environ(), ulimitVariable+"=1")
	output, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: TestUlimitData") {
		t.Fatalf("%v: %s", err, output)
	}
	t.Logf("%s", output)
}

// fillUlimit takes blocks until the system refuses one.
func fillUlimit(t *testing.T, limit int64) {
	a, err := New(Options{ReleaseDelay: -1}) // of the default reservation
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	total := int64(0)
	for {
		b, err := a.Alloc(64 << 10)
		if err != nil {
			if !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "RLIMIT_DATA is 512 MiB") {
				t.Errorf("%v, want one that names RLIMIT_DATA", err)
			}
			break
		}
		total += int64(cap(b))
	}
	t.Logf("%d MiB of %d are left for blocks, %d MiB of addresses", total>>20, limit>>20, a.Stats().Reserved>>20)
	if total < limit/2 || total > limit {
		t.Errorf("%d bytes for blocks", total)
	}
	if reserved := a.Stats().Reserved; reserved > 5*limit {
		t.Errorf("%d bytes of addresses", reserved)
	}
}
