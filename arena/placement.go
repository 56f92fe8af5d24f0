package arena

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/numa"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Placement says on which NUMA nodes the memory of a heap is to lie. The zero value
// is Local.
type Placement int

const (
	// Local: what is allocated lies on the node of the thread that allocates, as far
	// as a thread that has come from another node does not find blocks in its vCPU's
	// magazines that it brought from there.
	Local Placement = iota + 1

	// Interleave: OS pages alternate between all nodes that have CPUs.
	Interleave

	onNode
)

// OnNode is the placement on one node, while it has memory. It is below 0 for a number
// that no node can have.
func OnNode(number int) Placement {
	if number < 0 || number > math.MaxInt-int(onNode) {
		return -1
	}
	return onNode + Placement(number)
}

// String returns "local", "interleave", or "node 1", and "Placement(-1)" for what is no
// placement.
func (p Placement) String() string {
	switch {
	case p < 0:
		return "Placement(" + strconv.Itoa(int(p)) + ")"
	case p == Interleave:
		return "interleave"
	case p >= onNode:
		return "node " + strconv.Itoa(int(p-onNode))
	}
	return "local"
}

const (
	// maxNodes bounds the parts of a range. Each costs two mappings, and a heap is to
	// have less than 32 in all (docs/decisions/numa-and-huge-pages.md).
	maxNodes = 8

	// anyNode stands for the number of a node where the system chooses it.
	anyNode = -1
)

// machine is what a heap asks about the nodes.
type machine struct {
	topology *numa.Topology
	minPart  uintptr                                                // the least part of a range, in bytes: no block can be larger than one
	here     func() (id, node int)                                  // vcpu.Where
	huge     func() (osmem.HugeInfo, error)                         // osmem.ReadHuge
	follows  func() bool                                            // osmem.FollowsPolicy
	bind     func(r *osmem.Range, how osmem.Binding, n []int) error // osmem.Range.Bind
}

// Parts returns how many parts Local makes of a range on this machine at the most.
func Parts() int {
	if nodes := len(numa.Here().Nodes); nodes <= maxNodes {
		return nodes
	}
	return 1
}

func thisMachine() *machine {
	return &machine{numa.Here(), 1 << 30, vcpu.Where, osmem.ReadHuge, osmem.FollowsPolicy, (*osmem.Range).Bind}
}

// place makes the nodes of h, whose range is reserved, so that memory comes to lie
// as p wants it, or as near to it as this machine can. Only Local takes more than
// one: where the kernel chooses the node of each OS page, or all have the same one,
// there is nothing to keep apart.
func (h *Heap) place(p Placement, m *machine) error {
	h.machine, h.nodes, h.placementReason = m, nil, ""
	numbers := m.topology.Nodes
	one := len(m.topology.Memory) == 1 && m.topology.Reason == ""
	part := h.size / uintptr(len(numbers))
	switch {
	case one && (p < onNode || p == OnNode(numbers[0])):
		return h.placeWhole(numbers[0], "one node", "")
	case p >= onNode:
		number := int(p - onNode)
		return h.placeBound(p, number, osmem.Prefer, []int{number})
	case m.topology.Reason != "":
		return h.placeWhole(anyNode, "first touch", m.topology.Reason)
	case p == Interleave:
		return h.placeBound(p, anyNode, osmem.Alternate, numbers)
	case m.follows():
		return h.placeWhole(anyNode, "first touch", "the process has a memory policy of its own")
	case len(numbers) == 1:
		return h.placeWhole(anyNode, "first touch", "only one node has CPUs and memory")
	case len(numbers) > maxNodes:
		return h.placeWhole(anyNode, "first touch", fmt.Sprintf("%d nodes, more than %d", len(numbers), maxNodes))
	case part < m.minPart:
		return h.placeWhole(anyNode, "first touch", fmt.Sprintf("a range of %d bytes is too short for %d nodes", h.size, len(numbers)))
	default:
		return h.placeParts(part)
	}
}

// placeBound gives all of the range to one node, and binds it.
func (h *Heap) placeBound(p Placement, number int, how osmem.Binding, numbers []int) error {
	if err := h.machine.bind(&h.memory, how, numbers); err != nil {
		return h.placeWhole(anyNode, "first touch", err.Error())
	}
	return h.placeWhole(number, p.String(), "")
}

// placeWhole gives all of the range to one node.
func (h *Heap) placeWhole(number int, how, reason string) error {
	h.placement, h.placementReason = how, reason
	h.nodes = []*node{newNode(h, number, 0, h.size)}
	h.part = uint32(h.size >> pageShift)
	return h.spans.back(firstPage + 1)
}

// placeParts gives each node a part of the range. Their records grow at several
// places of the tables, which are therefore backed as a whole: else each place would
// be a mapping of its own.
func (h *Heap) placeParts(part uintptr) error {
	err := h.spans.back(firstPage + 1)
	if err == nil && h.spans.records.IsEager() {
		return h.placeWhole(anyNode, "first touch", "memory is locked, and the tables of several nodes would take it all at once")
	}
	if err == nil {
		err = h.spans.back(uint32(h.size >> pageShift))
	}
	if err != nil {
		return h.placeWhole(anyNode, "first touch", err.Error())
	}
	h.placement = Local.String()
	m, numbers := h.machine, h.machine.topology.Nodes
	part &^= osmem.Align - 1
	h.part = uint32(part >> pageShift)
	for i, number := range numbers {
		begin, size := uintptr(i)*part, part
		if i == len(numbers)-1 {
			size = h.size - begin
		}
		n := newNode(h, number, begin, size)
		// Not bound, it lies where it is touched first, which is here in most cases.
		if err := m.bind(&n.pages.memory, osmem.Prefer, []int{number}); err != nil {
			h.placementReason = err.Error()
		}
		h.nodes = append(h.nodes, n)
	}
	for i, n := range h.nodes {
		for _, other := range m.topology.Near(i)[1:] {
			n.others = append(n.others, h.nodes[other])
		}
	}
	h.homes.open(vcpu.Max())
	return nil
}

// nodeHere returns the node of the running thread, a hint.
func (h *Heap) nodeHere() *node {
	if len(h.nodes) == 1 {
		return h.nodes[0]
	}
	id, number := h.machine.here()
	index := h.machine.topology.Index(number)
	if h.homes.moved(id, index) {
		h.emptyHere()
	}
	return h.nodes[index]
}

// serve tries the node of the running thread, which may need so many pages, and then
// the others, the nearest first. If a limit is in the way, the free memory of the
// others goes first: it is wanted here now. The error is that of the first try.
func (h *Heap) serve(pages int64, try func(from *node) error) error {
	near := h.nodeHere()
	err := try(near)
	if err == nil || len(near.others) == 0 {
		return err
	}
	if errors.Is(err, ErrLimit) && h.yield(near, pages) && try(near) == nil {
		return nil
	}
	for _, other := range near.others {
		if try(other) == nil {
			near.borrowed.Add(1)
			return nil
		}
	}
	return err
}

// yield returns free memory of the other nodes to the system until the budget has room
// for so many pages on this one, and reports whether it has.
func (h *Heap) yield(near *node, pages int64) bool {
	need := pages - near.pages.residentNow()
	lacks := func() bool { return h.budget.lacks(need) != nil }
	for _, other := range near.others {
		if lacks() {
			other.pages.trim(lacks)
		}
	}
	return !lacks()
}

// nodeOf returns the node that a page belongs to.
func (h *Heap) nodeOf(page uint32) *node {
	return h.nodes[min(int(page/h.part), len(h.nodes)-1)]
}

// sameNode moves the objects that are of the node of the first one to the front, and
// returns that node and their number.
func (h *Heap) sameNode(objects []unsafe.Pointer) (n *node, count int) {
	if len(h.nodes) == 1 {
		return h.nodes[0], len(objects)
	}
	n = h.nodeOf(uint32(h.offsetOf(objects[0]) >> pageShift))
	return n, h.ofNode(n, objects)
}

// ofNode moves the objects that are of a node to the front, and returns their number.
func (h *Heap) ofNode(n *node, objects []unsafe.Pointer) (count int) {
	for i, object := range objects {
		if h.nodeOf(uint32(h.offsetOf(object)>>pageShift)) == n {
			objects[count], objects[i] = object, objects[count]
			count++
		}
	}
	return count
}
