//go:build !vcpualloc_gomem

package alloc

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/steady"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// instantVariable makes TestLimitAtAnyInstant the process that is looked at.
const instantVariable = "VCPUALLOC_TEST_INSTANT"

// instantLimit is its limit in bytes, and instantPlayers want four times as much.
const (
	instantLimit   = 64 << 20
	instantPlayers = 64
)

// TestLimitAtAnyInstant stops a process that lives at its limit again and again, so that
// no page moves while the resident ones are counted: they are never more than the limit.
func TestLimitAtAnyInstant(t *testing.T) {
	if os.Getenv(instantVariable) != "" {
		liveAtLimit(t)
		return
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(path, "-test.run=^TestLimitAtAnyInstant$", "-test.count=1")
	process.Env = append(os.Environ(), instantVariable+"=1")
	process.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Wait()
	defer process.Process.Kill()
	var block uintptr
	if _, err := fmt.Fscan(output, &block); err != nil {
		t.Fatal(err)
	}
	const enoughLooks = 50
	looks, most := 0, int64(0)
	stress.Until(t, func() error {
		time.Sleep(10 * time.Millisecond) // the process runs
		unix.Kill(process.Process.Pid, unix.SIGSTOP)
		waitForStop(t, process.Process.Pid)
		most = max(most, residentAround(t, process.Process.Pid, block))
		unix.Kill(process.Process.Pid, unix.SIGCONT)
		if looks++; looks < enoughLooks || most < instantLimit*3/4 {
			return fmt.Errorf("in %d looks at most %d bytes were resident: the limit was not reached", looks, most)
		}
		return nil
	})
	t.Logf("at most %d bytes were resident in %d looks, the limit is %d", most, looks, instantLimit)
	if most > instantLimit {
		t.Errorf("%d bytes were resident, the limit is %d", most, instantLimit)
	}
}

// liveAtLimit tells where its blocks are, and plays until it is killed.
func liveAtLimit(t *testing.T) {
	a := open(t, Options{Limit: instantLimit, Reserve: 4 * instantLimit})
	block := must(t)(a.AllocUninit(64))
	fmt.Println(uintptr(unsafe.Pointer(unsafe.SliceData(block))))
	g := &greedy{a: a, t: t, seed: steady.Random(t).Uint64(), wanted: 4 * instantLimit / instantPlayers}
	for player := range instantPlayers {
		go g.play(player, func(int64) bool { return false })
	}
	select {}
}

// waitForStop waits until no thread of a process runs.
func waitForStop(t *testing.T, pid int) {
	t.Helper()
	stress.Until(t, func() error {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		stopped := 0
		for _, thread := range threads {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
			// The state stands behind the name, which is in parentheses.
			if i := strings.LastIndex(string(text), ") "); i >= 0 && strings.HasPrefix(string(text[i+2:]), "T") {
				stopped++
			}
		}
		if stopped < len(threads) {
			return fmt.Errorf("%d threads of %d have stopped", stopped, len(threads))
		}
		return nil
	})
}

// residentAround returns what the mapping of a process takes in which an address lies.
func residentAround(t *testing.T, pid int, address uintptr) (bytes int64) {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inside := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var from, to uintptr
		var kilobytes int64
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		} else if n, _ := fmt.Sscanf(lines.Text(), "Rss: %d kB", &kilobytes); n == 1 && inside {
			return kilobytes << 10
		}
	}
	t.Fatalf("no mapping has the address %#x", address)
	return 0
}
