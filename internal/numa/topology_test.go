package numa

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine writes the files of a machine and returns their root.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// nodes returns the files for nodes that are online, all at distance 10 or 20.
func nodes(online, cpus, memory, allowed string, distances ...string) map[string]string {
	const folder = "sys/devices/system/node/"
	files := map[string]string{folder + "online": online + "\n", folder + "has_cpu": cpus + "\n", folder + "has_memory": memory + "\n"}
	if allowed != "" {
		files["proc/self/status"] = "Name:\tx\nMems_allowed:\t3\nMems_allowed_list:\t" + allowed + "\nvoluntary_ctxt_switches:\t1\n"
	}
	list, _ := parseList(online)
	for i, line := range distances {
		files[fmt.Sprintf("%snode%d/distance", folder, list[i])] = line + "\n"
	}
	return files
}

func TestRead(t *testing.T) {
	without := nodes("0-1", "0-1", "0-1", "0-1", "10 20", "20 10")
	without["sys/devices/system/node/has_normal_memory"] = "0-1\n"
	delete(without, "sys/devices/system/node/has_memory")
	for _, row := range []struct {
		name          string
		files         map[string]string
		nodes, memory []int
		index         map[int]int // position by number
		near          [][]int
		reason        string
	}{
		{name: "one node", files: nodes("0", "0", "0", "0"), nodes: []int{0}, memory: []int{0}, near: [][]int{{0}}},
		{name: "one, not the first", files: nodes("3", "3", "3", ""), nodes: []int{3}, memory: []int{3}, index: map[int]int{3: 0, 0: 0}, near: [][]int{{0}}},
		{name: "two", files: nodes("0-1", "0-1", "0-1", "0-1", "10 20", "20 10"), nodes: []int{0, 1}, memory: []int{0, 1},
			index: map[int]int{0: 0, 1: 1, 2: 0, -1: 0, 1 << 20: 0}, near: [][]int{{0, 1}, {1, 0}}},
		{name: "no has_memory", files: without, nodes: []int{0, 1}, memory: []int{0, 1}, index: map[int]int{1: 1}},
		{name: "no /proc", files: nodes("0-1", "0-1", "0-1", "", "10 20", "20 10"), nodes: []int{0, 1}, memory: []int{0, 1}},
		{name: "a cpuset of one", files: nodes("0-1", "0-1", "0-1", "1", "10 20", "20 10"), nodes: []int{1}, memory: []int{1}, index: map[int]int{0: 0, 1: 0}},
		{name: "sparse, in another order", files: nodes("2,0,7", "0,2,7", "0,2,7", "0-63", "10 30 20", "30 10 12", "20 12 10"), nodes: []int{0, 2, 7}, memory: []int{0, 2, 7},
			index: map[int]int{0: 0, 2: 1, 7: 2, 1: 0}, near: [][]int{{0, 2, 1}, {1, 2, 0}, {2, 1, 0}}},
		{name: "memory without CPUs", files: nodes("0-2", "0-1", "0-2", "0-2", "10 20 17", "20 10 17", "17 17 10"), nodes: []int{0, 1}, memory: []int{0, 1, 2}, near: [][]int{{0, 1}, {1, 0}}},
		{name: "CPUs without memory", files: nodes("0-2", "0-2", "0,2", "0-2", "10 30 20", "30 10 15", "20 15 10"), nodes: []int{0, 2}, memory: []int{0, 2}, index: map[int]int{0: 0, 1: 1, 2: 1}},
		{name: "CPUs here, memory there", files: nodes("0-1", "0", "1", "0-1", "10 20", "20 10"), nodes: []int{1}, memory: []int{1}, index: map[int]int{0: 0, 1: 0}},
		{name: "no memory", files: nodes("0-1", "0-1", "0-1", "5", "10 20", "20 10"), nodes: []int{0}, memory: []int{0}, reason: "no node has memory"},
		{name: "no /sys", nodes: []int{0}, memory: []int{0}, reason: "online"},
		{name: "no distances", files: nodes("0-1", "0-1", "0-1", "0-1"), nodes: []int{0}, memory: []int{0}, reason: "distance"},
		{name: "too few distances", files: nodes("0-1", "0-1", "0-1", "0-1", "10 20", "20"), nodes: []int{0}, memory: []int{0}, reason: "1 distances for 2 nodes"},
		{name: "garbage", files: nodes("0-x", "0", "0", "0"), nodes: []int{0}, memory: []int{0}, reason: "no list of nodes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Read(machine(t, row.files))
			if !slices.Equal(got.Nodes, row.nodes) || !slices.Equal(got.Memory, row.memory) {
				t.Errorf("nodes %v, memory %v; want %v, %v", got.Nodes, got.Memory, row.nodes, row.memory)
			}
			if (got.Reason == "") != (row.reason == "") || !strings.Contains(got.Reason, row.reason) {
				t.Errorf("reason %q, want %q in it", got.Reason, row.reason)
			}
			for number, position := range row.index {
				if p := got.Index(number); p != position {
					t.Errorf("node %d is at position %d, want %d", number, p, position)
				}
			}
			for position, near := range row.near {
				if !slices.Equal(got.Near(position), near) {
					t.Errorf("near position %d are %v, want %v", position, got.Near(position), near)
				}
			}
		})
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "\n": nil, "0\n": {0}, "0-2,5": {0, 1, 2, 5}, "7,1,1-2": {1, 2, 7}} {
		if got, err := parseList(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-", "a", "0-", "3-1", "0,", "99999999"} {
		if got, err := parseList(text); err == nil {
			t.Errorf("%q: %v, no error", text, got)
		}
	}
}

// TestHere: this machine has at least one node.
func TestHere(t *testing.T) {
	if here := Here(); len(here.Nodes) == 0 || len(here.Memory) == 0 {
		t.Errorf("%+v", *here)
	}
}
