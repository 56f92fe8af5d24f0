package arena

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// ClassList has the figures of each class by its number. In JSON it is the list
// of the classes in use.
type ClassList [ClassCount]ClassStats

// InUse iterates over the classes that have spans, smallest first.
func (t *ClassList) InUse() iter.Seq[ClassStats] {
	return func(yield func(ClassStats) bool) {
		for _, c := range t {
			if c.Spans > 0 && !yield(c) {
				return
			}
		}
	}
}

// MarshalJSON implements json.Marshaler.
func (t ClassList) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]ClassStats{}, slices.Collect(t.InUse())...))
}

// UnmarshalJSON implements json.Unmarshaler. A class that is not in the list has
// its size and zeros.
func (t *ClassList) UnmarshalJSON(text []byte) error {
	var list []ClassStats
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*t = ClassList{}
	for class := 1; class < ClassCount; class++ {
		t[class].Size = ClassSize(uint8(class))
	}
	for _, c := range list {
		class := slices.IndexFunc(t[:], func(other ClassStats) bool { return other.Size == c.Size })
		if class <= 0 {
			return fmt.Errorf("arena: no class has objects of %d bytes", c.Size)
		}
		t[class] = c
	}
	return nil
}

// NodeList has the figures of each node.
type NodeList struct {
	list  [maxNodes]NodeStats
	count int
}

// Len returns the number of nodes.
func (l *NodeList) Len() int { return l.count }

// All iterates over the nodes.
func (l *NodeList) All() iter.Seq[NodeStats] { return slices.Values(l.list[:l.count]) }

func (l *NodeList) add(n NodeStats) {
	l.list[l.count] = n
	l.count++
}

// MarshalJSON implements json.Marshaler.
func (l NodeList) MarshalJSON() ([]byte, error) { return json.Marshal(l.list[:l.count]) }

// UnmarshalJSON implements json.Unmarshaler.
func (l *NodeList) UnmarshalJSON(text []byte) error {
	var list []NodeStats
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	if len(list) > maxNodes {
		return fmt.Errorf("arena: %d nodes, there are at most %d", len(list), maxNodes)
	}
	*l = NodeList{count: len(list)}
	copy(l.list[:], list)
	return nil
}

// SlabStats is what one vCPU or, where sections are not used, one P has at hand.
type SlabStats struct {
	Index   int   `json:"index"`   // the id of the vCPU, or of the P
	P       bool  `json:"p"`       // it is a P
	Objects int64 `json:"objects"` // free ones in its magazines
	Bytes   int64 `json:"bytes"`   // those of the objects
}

// Slabs iterates over the slabs that hold objects, as they are at that moment.
// It takes no lock and stops nobody.
func (h *Heap) Slabs() iter.Seq[SlabStats] {
	return func(yield func(SlabStats) bool) {
		total, vcpus := h.Magazines.Slabs()
		for slab := range total {
			s := SlabStats{Index: slab}
			if slab >= vcpus {
				s.Index, s.P = slab-vcpus, true
			}
			for class := 1; class < classCount; class++ {
				objects := int64(h.Magazines.Len(slab, class))
				s.Objects += objects
				s.Bytes += objects * int64(classes[class].size)
			}
			if s.Objects > 0 && !yield(s) {
				return
			}
		}
	}
}

// BudgetStats is one node of a tree of budgets.
type BudgetStats struct {
	Name      string `json:"name"`
	Depth     int    `json:"depth"`      // 0 for the node that was asked
	Limit     int64  `json:"limit"`      // bytes, 0 for none
	SoftLimit int64  `json:"soft_limit"` // bytes, 0 for none
	Charged   int64  `json:"charged"`    // bytes, of those below too
}

// All iterates over the node and those below that are open, each before its own
// and siblings by name, with the figures of the moment at which each comes.
func (b *Budget) All() iter.Seq[BudgetStats] {
	return func(yield func(BudgetStats) bool) { b.visit(0, yield) }
}

func (b *Budget) visit(depth int, yield func(BudgetStats) bool) bool {
	s := BudgetStats{Name: b.name, Depth: depth, Charged: b.Charged()}
	if b.limit != noLimit {
		s.Limit = b.limit << pageShift
	}
	if b.soft != noLimit {
		s.SoftLimit = b.soft << pageShift
	}
	if !yield(s) {
		return false
	}
	for _, child := range b.children() {
		if !child.visit(depth+1, yield) {
			return false
		}
	}
	return true
}

// children returns the nodes right below by name. No lock is held when the
// caller of All works.
func (b *Budget) children() (list []*Budget) {
	b.mu.Lock()
	for child := range b.below {
		list = append(list, child)
	}
	b.mu.Unlock()
	slices.SortFunc(list, func(x, y *Budget) int { return strings.Compare(x.name, y.name) })
	return list
}
