//go:build linux && !vcpualloc_gomem

package arena

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/race"
	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// childVariable tells a process of the tests which part it is to play.
const childVariable = "VCPUALLOC_TEST_CHILD"

// inChild runs body in a process of its own, since it takes away what the
// runtime needs as well.
func inChild(t *testing.T, body func() error) {
	t.Helper()
	const done = "the child is done"
	if os.Getenv(childVariable) == t.Name() {
		// What the runtime and the probe need once they get before anything is short.
		debug.SetGCPercent(-1)
		runtime.MemProfileRate = 0
		vcpu.Probe()
		stress.SpareThreads(16)
		warmRuntime()
		if err := body(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(done)
		os.Exit(0)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childVariable+"="+t.Name())
	// A test that runs out of time must leave nobody behind. The child dies with the
	// thread that starts it, which therefore stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	child.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if output, err := child.CombinedOutput(); err != nil || !strings.Contains(string(output), done) {
		t.Fatalf("%v: %s", err, output)
	}
}

// warmRuntime leaves the runtime what it needs for some 4000 spans of small objects: their
// pages, records and, after some collections, mark bits.
func warmRuntime() {
	objects := make([]*[16]byte, 2<<20)
	for i := range objects {
		objects[i] = new([16]byte)
	}
	clear(objects)
	for range 4 {
		runtime.GC()
	}
}

// statusBytes returns a figure of /proc/self/status.
func statusBytes(name string) (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(status), name+":")
	var kilobytes uint64
	if _, err := fmt.Sscan(line, &kilobytes); err != nil {
		return 0, fmt.Errorf("%s in /proc/self/status: %w", name, err)
	}
	return kilobytes << 10, nil
}

// limitTo lowers a resource limit to what is in use now, by the given name in
// /proc/self/status, and more bytes. It returns how to undo that.
func limitTo(resource int, name string, more uint64) (restore func(), err error) {
	used, err := statusBytes(name)
	if err != nil {
		return nil, err
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(resource, &before); err != nil {
		return nil, err
	}
	now := unix.Rlimit{Cur: used + more, Max: before.Max}
	return func() { unix.Setrlimit(resource, &before) }, unix.Setrlimit(resource, &now)
}

// TestOpenAsksForLess has too few addresses for the reservation.
func TestOpenAsksForLess(t *testing.T) {
	inChild(t, func() error {
		// The slabs of the magazines, the tables and alignment need some as well.
		restore, err := limitTo(unix.RLIMIT_AS, "VmSize", 256<<20)
		if err != nil {
			return err
		}
		defer restore()
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: min(64<<30, MaxReserve), Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		if h.size < MinReserve || h.size > 256<<20 {
			return fmt.Errorf("%d bytes are reserved", h.size)
		}
		block, _, err := h.AllocLarge(1<<20, 1)
		if err != nil {
			return err
		}
		clear(bytesAt(block, 1<<20))
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestOpenWithoutAddresses has too few addresses for any heap, and no range is
// left behind.
func TestOpenWithoutAddresses(t *testing.T) {
	inChild(t, func() error {
		before, err := statusBytes("VmSize")
		if err != nil {
			return err
		}
		var least Heap
		if err := least.Open(Config{Name: "test", Reserve: MinReserve, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		slabs := uint64(least.Magazines.Reserved())
		need := slabs + uint64(least.memory.Size+least.pageMapMemory.Size+least.spans.memory.Size)
		if err := least.Close(); err != nil {
			return err
		}
		const tries = 5
		for try := range 3 * tries {
			// Too few for the range, and for the slabs where these are as large: what is
			// left must do for the runtime. The faults' tests have too few for all else.
			more := need - MinReserve/2
			if try%2 == 0 && slabs >= MinReserve {
				more = slabs / 2
			}
			restore, err := limitTo(unix.RLIMIT_AS, "VmSize", more)
			if err != nil {
				return err
			}
			var h Heap
			err = h.Open(Config{Name: "test", Reserve: 256 << 20, Budget: NewBudget("test", nil, 0, 0)})
			restore()
			if !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "RLIMIT_AS is ") {
				return fmt.Errorf("%d bytes of addresses: %w", more, err)
			}
		}
		// The runtime may have made a thread or two.
		after, err := statusBytes("VmSize")
		if err == nil && after > before+tries*MinReserve {
			err = fmt.Errorf("%d bytes of addresses are left behind", after-before)
		}
		return err
	})
}

// TestBackFails lets the system refuse to back more of the range in the middle
// of the work, and later allows it.
func TestBackFails(t *testing.T) {
	const blockSize, room = 1 << 20, 64 << 20
	inChild(t, func() error {
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: 256 << 20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		restore, err := limitTo(unix.RLIMIT_DATA, "VmData", room)
		if err != nil {
			return err
		}
		blocks := make([]unsafe.Pointer, 0, 1024)
		for err == nil && len(blocks) < cap(blocks) {
			var block unsafe.Pointer
			if block, _, err = h.AllocLarge(blockSize, 1); err == nil {
				*(*uint64)(block) = uint64(len(blocks))
				blocks = append(blocks, block)
			}
		}
		_, smallError := h.Alloc(ClassOf(4096))
		h.Explain(err)
		restore()
		if !errors.Is(err, ErrNoMemory) || !errors.Is(smallError, ErrNoMemory) || !strings.Contains(err.Error(), "RLIMIT_DATA is ") {
			return fmt.Errorf("after %d blocks: %w; of a small one: %w", len(blocks), err, smallError)
		}
		if n := len(blocks); n < room/blockSize/2 || n > room/blockSize {
			return fmt.Errorf("%d blocks of 1 MiB in %d bytes", n, room)
		}
		if err := h.CheckInvariants(); err != nil {
			return err
		}
		for i, block := range blocks {
			if *(*uint64)(block) != uint64(i) || !h.FreeLarge(block) {
				return fmt.Errorf("block %d is lost", i)
			}
		}
		if _, _, err := h.AllocLarge(2*room, 1); err != nil {
			return fmt.Errorf("with memory again: %w", err)
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestManyRefusalsTakeLittle has the system refuse again and again where the runtime can
// get hardly any memory either: it ends the process when it gets none. The spare is for
// the runtime's own tables, which grow by 256 KiB, and is no room for a block.
func TestManyRefusalsTakeLittle(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector takes memory for each allocation, and ends the process where it gets none")
	}
	const goroutines, each, spare = 4, 10_000, 2 << 20
	inChild(t, func() error {
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: 256 << 20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		restore, err := limitTo(unix.RLIMIT_DATA, "VmData", spare)
		if err != nil {
			return err
		}
		defer restore()
		var team sync.WaitGroup
		var explained, failed atomic.Int64
		for range goroutines {
			team.Go(func() {
				for i := range each {
					_, _, err := h.AllocLarge(4<<20, 1)
					if !errors.Is(h.Explain(err), ErrNoMemory) {
						return
					}
					failed.Add(1)
					if i == 0 && strings.Contains(err.Error(), "RLIMIT_DATA is ") {
						explained.Add(1)
					}
				}
			})
		}
		team.Wait()
		if failed.Load() != goroutines*each || explained.Load() == 0 {
			return fmt.Errorf("%d refusals of %d, %d of the first explained", failed.Load(), goroutines*each, explained.Load())
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestOpenFitsData has little memory to back: the page map of the range must not take
// it all.
func TestOpenFitsData(t *testing.T) {
	const room = 48 << 20
	inChild(t, func() error {
		restore, err := limitTo(unix.RLIMIT_DATA, "VmData", room)
		if err != nil {
			return err
		}
		defer restore()
		var h Heap
		// The page map of so much would take 64 MiB.
		if err := h.Open(Config{Name: "test", Reserve: min(128<<30, MaxReserve), Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		if _, _, err := h.AllocLarge(4<<20, 1); err != nil {
			return err
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}
