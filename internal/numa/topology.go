package numa

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Topology is the nodes as they were at the first look. Nodes that come later
// count as the first of Nodes.
type Topology struct {
	// Nodes have CPUs, and memory that this process may use: a thread can be at
	// home there. Ascending, and at least one.
	Nodes []int

	// Memory is all nodes with memory that this process may use, ascending.
	Memory []int

	// Reason says why nothing is known, and Nodes and Memory are node 0; else empty.
	Reason string

	index []int   // by number: the position in Nodes of the node, or of the nearest
	near  [][]int // by position: all positions, the nearest first
}

// Here returns the topology of this machine.
var Here = sync.OnceValue(func() *Topology { return Read("/") })

// Read reads the topology below a root folder.
func Read(root string) *Topology {
	t, err := read(root)
	if err != nil {
		t = New([]int{0}, []int{0}, nil)
		t.Reason = "the NUMA nodes are not known: " + err.Error()
	}
	return t
}

func read(root string) (*Topology, error) {
	folder := filepath.Join(root, "sys/devices/system/node")
	online, err := readList(filepath.Join(folder, "online"))
	if err != nil {
		return nil, err
	}
	if len(online) == 1 {
		return New(online, online, nil), nil
	}
	withCPUs, err := readList(filepath.Join(folder, "has_cpu"))
	if err != nil {
		return nil, err
	}
	memory, err := readList(filepath.Join(folder, "has_memory"))
	if err != nil {
		// A kernel without hotplug of memory has only this one.
		if memory, err = readList(filepath.Join(folder, "has_normal_memory")); err != nil {
			return nil, err
		}
	}
	// Without /proc all nodes are allowed; that others are not is told by mbind(2).
	if allowed, err := readAllowed(filepath.Join(root, "proc/self/status")); err == nil {
		memory = both(memory, allowed)
	}
	distances := make(map[int]map[int]int)
	for _, node := range online {
		if distances[node], err = readDistances(filepath.Join(folder, fmt.Sprintf("node%d", node), "distance"), online); err != nil {
			return nil, err
		}
	}
	if len(memory) == 0 {
		return nil, fmt.Errorf("no node has memory that this process may use")
	}
	return New(withCPUs, memory, func(from, to int) int { return distances[from][to] }), nil
}

// New makes the topology of the nodes that have CPUs and those that have memory.
// Where distance is nil all are equally far.
func New(withCPUs, memory []int, distance func(from, to int) int) *Topology {
	if distance == nil {
		distance = func(from, to int) int { return min(1, max(from-to, to-from)) }
	}
	t := &Topology{Nodes: both(withCPUs, memory), Memory: memory}
	if len(t.Nodes) == 0 {
		t.Nodes = memory[:1] // all memory is away from all CPUs
	}
	last := max(slices.Max(memory), slices.Max(append([]int{0}, withCPUs...)))
	t.index = make([]int, last+1)
	for _, node := range withCPUs {
		t.index[node] = t.byDistance(node, distance)[0]
	}
	for _, node := range t.Nodes {
		t.near = append(t.near, t.byDistance(node, distance))
	}
	return t
}

// byDistance returns the positions of Nodes, those nearest to a node first.
func (t *Topology) byDistance(from int, distance func(from, to int) int) []int {
	positions := make([]int, len(t.Nodes))
	for i := range positions {
		positions[i] = i
	}
	slices.SortStableFunc(positions, func(a, b int) int { return distance(from, t.Nodes[a]) - distance(from, t.Nodes[b]) })
	return positions
}

// Index returns the position in Nodes of the node with the given number, or of the
// one nearest to it if it has no memory; 0 for one that is not known.
func (t *Topology) Index(node int) int {
	if node < 0 || node >= len(t.index) {
		return 0
	}
	return t.index[node]
}

// Near returns the positions of all nodes, those nearest to the one at the given
// position first. It starts with that one.
func (t *Topology) Near(position int) []int { return t.near[position] }

func both(a, b []int) (list []int) {
	for _, one := range a {
		if slices.Contains(b, one) {
			list = append(list, one)
		}
	}
	return list
}

func readList(file string) ([]int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseList(string(text))
}

// parseList reads a list such as "0-3,8-11", in ascending order, or an empty one.
func parseList(text string) (list []int, err error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("%q is no list of nodes", text)
		}
		for node := from; node <= to; node++ {
			list = append(list, int(node))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// readAllowed returns the nodes of the cpuset, from the status of a process.
func readAllowed(file string) ([]int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, list, found := strings.Cut(string(text), "\nMems_allowed_list:")
	if !found {
		return nil, fmt.Errorf("%s has no Mems_allowed_list", file)
	}
	list, _, _ = strings.Cut(list, "\n")
	return parseList(list)
}

// readDistances returns the distances from one node to those that are online, in
// the order of which they stand in the file.
func readDistances(file string, online []int) (map[int]int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(text))
	if len(words) != len(online) {
		return nil, fmt.Errorf("%s: %d distances for %d nodes", file, len(words), len(online))
	}
	distances := make(map[int]int)
	for i, word := range words {
		if distances[online[i]], err = strconv.Atoi(word); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return distances, nil
}
