//go:build linux && !vcpualloc_gomem

package arena

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/numa"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// placed returns how many bytes of a range the kernel has on each node, by number,
// and the policy of the mapping that has most of them.
func placed(base unsafe.Pointer, size uintptr) (bytes map[int]int64, policy string, err error) {
	file, err := os.Open("/proc/self/numa_maps")
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	bytes = make(map[int]int64)
	most := int64(0)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		begin, err := strconv.ParseUint(words[0], 16, 64)
		if err != nil {
			return nil, "", err
		}
		if uintptr(begin) < uintptr(base) || uintptr(begin) >= uintptr(base)+size {
			continue
		}
		pages, page := map[int]int64{}, int64(os.Getpagesize())
		for _, word := range words[2:] {
			key, value, _ := strings.Cut(word, "=")
			count, _ := strconv.ParseInt(value, 10, 64)
			if node, err := strconv.Atoi(strings.TrimPrefix(key, "N")); err == nil && key[0] == 'N' {
				pages[node] = count
			} else if key == "kernelpagesize_kB" {
				page = count << 10
			}
		}
		here := int64(0)
		for node, count := range pages {
			bytes[node] += count * page
			here += count * page
		}
		if here > most {
			most, policy = here, words[1]
		}
	}
	return bytes, policy, lines.Err()
}

// onNodes runs body for each node with its number, on a thread that stays there.
func onNodes(t *testing.T, body func(number int)) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &before)
	for _, number := range numa.Here().Nodes {
		var cpus unix.CPUSet
		for cpu := range 1024 {
			if _, err := os.Stat(fmt.Sprintf("/sys/devices/system/node/node%d/cpu%d", number, cpu)); err == nil && before.IsSet(cpu) {
				cpus.Set(cpu)
			}
		}
		if cpus.Count() == 0 {
			continue // this process may not run there
		}
		if err := unix.SchedSetaffinity(0, &cpus); err != nil {
			t.Fatal(err)
		}
		body(number)
	}
}

// fillOne takes 8 MiB of small blocks and 8 MiB as a large one, and writes to every
// OS page.
func fillOne(t *testing.T, h *Heap) {
	t.Helper()
	const each = 8 << 20
	large, _, err := h.AllocLarge(each, 1)
	if err != nil {
		t.Fatal(err)
	}
	touch(large, each)
	class := ClassOf(8192)
	for range each / 8192 {
		block, err := h.Alloc(class)
		if err != nil {
			t.Fatal(err)
		}
		touch(block, 8192)
	}
}

func touch(block unsafe.Pointer, size int) {
	for at := 0; at < size; at += 4096 {
		*(*byte)(unsafe.Add(block, at)) = 1
	}
}

// TestPagesAreThere asks the kernel where it has put what was allocated on each node
// of this machine.
func TestPagesAreThere(t *testing.T) {
	onNodes(t, func(number int) {
		for _, p := range []Placement{Local, OnNode(number), OnNode(numa.Here().Nodes[0]), Interleave} {
			h := new(Heap)
			if err := h.Open(Config{Name: "test", Reserve: min(16<<30, MaxReserve), Budget: NewBudget("test", nil, 0, 0), Placement: p}); err != nil {
				t.Fatal(err)
			}
			fillOne(t, h)
			bytes, policy, err := placed(h.base, h.size)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("on node %d, %v (%s): %v, policy %s", number, p, h.placement, bytes, policy)
			checkPlaced(t, h, p, number, bytes)
			mustHold(t, h.CheckInvariants())
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkPlaced checks where 16 MiB have come to lie.
func checkPlaced(t *testing.T, h *Heap, p Placement, number int, bytes map[int]int64) {
	t.Helper()
	all := int64(0)
	for _, there := range bytes {
		all += there
	}
	if all < 16<<20 {
		t.Fatalf("%v: %d bytes in all", p, all)
	}
	nodes := numa.Here().Nodes
	want := map[int]int64{}
	switch {
	case p == Interleave:
		for _, node := range nodes {
			want[node] = all / int64(len(nodes))
		}
	case p == Local:
		want[number] = all
	default:
		want[int(p-onNode)] = all
	}
	for _, node := range nodes {
		if diff := bytes[node] - want[node]; max(diff, -diff) > all/8 {
			t.Errorf("%v, on node %d: %d bytes on node %d, want about %d", p, number, bytes[node], node, want[node])
		}
	}
	if h.placementReason != "" && osmem.CanRelease {
		t.Errorf("%v: %s, since %s", p, h.placement, h.placementReason)
	}
}

// TestFullNode takes more memory than one node has, where there are others.
func TestFullNode(t *testing.T) {
	free := func(node int) (bytes int64) {
		text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/node/node%d/meminfo", node))
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(text), "MemFree:")
		if _, err := fmt.Sscan(line, &bytes); err != nil {
			t.Fatal(err)
		}
		return bytes << 10
	}
	nodes := numa.Here().Nodes
	if len(nodes) < 2 {
		return // one node that is full is a machine that is full
	}
	const more, most = 32 << 20, 1 << 30
	last := nodes[len(nodes)-1]
	if free(last) > most || free(nodes[0]) < 3*more {
		t.Logf("%d bytes free on node %d, %d on node %d: not a machine to fill", free(last), last, free(nodes[0]), nodes[0])
		return
	}
	h := new(Heap)
	if err := h.Open(Config{Name: "test", Reserve: 4 << 30, Budget: NewBudget("test", nil, 0, 0), Placement: OnNode(last)}); err != nil {
		t.Fatal(err)
	}
	size := int(free(last)) + more
	block, _, err := h.AllocLarge(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	touch(block, size)
	bytes, policy, err := placed(h.base, h.size)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of policy %s: %v", size, policy, bytes)
	if bytes[nodes[0]] < more/2 || bytes[last] == 0 {
		t.Errorf("%v: node %d was to be full, and the rest elsewhere", bytes, last)
	}
	if err := errors.Join(h.CheckInvariants(), h.Close()); err != nil {
		t.Fatal(err)
	}
}

// mappingsOf returns how many mappings a heap has, its slabs counted as the two that
// they can be.
func mappingsOf(h *Heap) (count int, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var begin, end uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &begin, &end); err != nil {
			return 0, err
		}
		for _, r := range []*osmem.Range{&h.memory, &h.pageMapMemory, &h.spans.memory} {
			if base := uintptr(r.Base); begin < base+r.Size && end > base {
				count++
			}
		}
	}
	return count + 2, nil
}

// TestFewMappingsOfNodes has as many nodes as a heap keeps apart, each with a memory
// policy that is not its neighbours', and returns every second page of each.
func TestFewMappingsOfNodes(t *testing.T) {
	inChild(t, func() error {
		m := newMachine(0, 1, 2, 3, 4, 5, 6, 7)
		bound := 0
		m.bind = func(r *osmem.Range, _ osmem.Binding, numbers []int) error {
			bound++
			// There is only node 0: two ways to have it do not merge.
			return r.Bind(osmem.Binding(numbers[0]%2), numa.Here().Memory[:1])
		}
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: 512 << 20, Budget: NewBudget("test", nil, 0, 0), machine: &m.machine}); err != nil {
			return err
		}
		for number := range 8 {
			m.node.Store(int64(number))
			if err := holes(&h); err != nil {
				return err
			}
		}
		if _, err := h.Trim(func() bool { return true }); err != nil {
			return err
		}
		count, err := mappingsOf(&h)
		if err != nil || bound != 8 || h.placementReason != "" || count >= mostMappings {
			return fmt.Errorf("a heap on 8 nodes has %d mappings, %d parts are bound (%s): %v", count, bound, h.placementReason, err)
		}
		if count < 2*8 {
			return fmt.Errorf("%d mappings: the parts have become one", count)
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestFollowsPolicy: a process that was told where its memory is to be is not
// overruled.
func TestFollowsPolicy(t *testing.T) {
	inChild(t, func() error {
		if osmem.FollowsPolicy() {
			return errors.New("a policy before any was set")
		}
		const bind = 2
		mask := uint64(1) << numa.Here().Memory[0]
		runtime.LockOSThread()
		if _, _, errno := unix.Syscall(unix.SYS_SET_MEMPOLICY, bind, uintptr(unsafe.Pointer(&mask)), 64); errno != 0 {
			return fmt.Errorf("set_mempolicy: %w", errno)
		}
		if !osmem.FollowsPolicy() {
			return errors.New("no policy after one was set")
		}
		return nil
	})
}

// TestLockedTables: where all memory is locked, a machine of several nodes does not
// take that of whole tables.
func TestLockedTables(t *testing.T) {
	inChild(t, func() error {
		if err := unix.Mlockall(unix.MCL_FUTURE); err != nil {
			fmt.Println("mlockall:", err) // as in TestLockedMemory
			return nil
		}
		m := newMachine(0, 1)
		var h Heap
		err := h.Open(Config{Name: "test", Reserve: 512 << 20, Budget: NewBudget("test", nil, 0, 0), machine: &m.machine})
		if errors.Is(err, ErrNoMemory) && strings.Contains(err.Error(), "RLIMIT_MEMLOCK is ") {
			return nil // without CAP_IPC_LOCK addresses count, as in TestLockedMemory
		}
		if err != nil {
			return err
		}
		if len(h.nodes) != 1 || !strings.Contains(h.placementReason, "locked") {
			return fmt.Errorf("%d nodes, %s: %q", len(h.nodes), h.placement, h.placementReason)
		}
		if _, err := h.Alloc(ClassOf(100)); err != nil {
			return err
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}
