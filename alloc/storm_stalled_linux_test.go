//go:build vcpualloc_stalled && (amd64 || arm64)

package alloc

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// longStall is a delay between the steps of a section with which no section ends
// before the next signal of TestCappedSectionsAllocate.
const longStall = "VCPUALLOC_STALL=30us"

// cappedVariable tells TestCappedSectionsAllocate that it runs in the child.
const cappedVariable = "VCPUALLOC_TEST_CAPPED"

// TestCappedSectionsAllocate sends a thread signals that come faster than a
// section can end. Every one gives up, and the floors below serve: the thread gets
// and frees its blocks all the same, and none twice. It runs in a process of its
// own, with longer delays than the other tests.
func TestCappedSectionsAllocate(t *testing.T) {
	if os.Getenv(cappedVariable) != "" {
		allocateCapped(t)
		return
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(path, "-test.run=^TestCappedSectionsAllocate$", "-test.count=1", "-test.v")
	child.Env = append(os.Environ(), cappedVariable+"=1", longStall)
	out, err := child.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Error(err)
	}
}

func allocateCapped(t *testing.T) {
	if f := vcpu.Probe(); f.Mode == vcpu.Assigned {
		t.Skipf("no sections run here: %s", f.Reason)
	}
	a, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cost, err := stress.SignalCost()
	if err != nil {
		t.Fatal(err)
	}
	s := stress.Signals{Signal: unix.SIGURG, Every: max(60*time.Microsecond, 4*cost)}
	stop, err := s.To(unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	before := rseqcs.ReadStats().Aborts
	const rounds, calls = 10, 4 * 10
	for range rounds {
		first, err := a.AllocUninit(48)
		if err != nil {
			t.Fatal(err)
		}
		second, err := a.AllocUninit(48)
		if err != nil || &first[0] == &second[0] {
			t.Fatalf("%v; blocks at %p and %p", err, first, second)
		}
		a.Free(first)
		a.Free(second)
	}
	aborts := rseqcs.ReadStats().Aborts - before
	t.Logf("a signal every %v, which takes %v; %d aborts in %d calls", s.Every, cost, aborts, calls)
	// Each call tries several sections, each of them a hundred times.
	if aborts < 100*calls {
		t.Error("sections have ended: this run has shown nothing")
	}
	if live := a.Stats().Live; live != 0 {
		t.Errorf("%d bytes are in use, and all was freed", live)
	}
}
