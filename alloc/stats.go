package alloc

import (
	"fmt"
	"iter"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Stats is what an allocator holds; see arena.Stats for the fields. In JSON its
// keys are the names of Figures.
type Stats struct {
	Name string    `json:"name"`
	Mode vcpu.Mode `json:"mode"` // how its blocks find their vCPU
	arena.Stats
}

// ClassStats, NodeStats, SlabStats and BudgetStats are those of package arena.
type (
	ClassStats  = arena.ClassStats
	NodeStats   = arena.NodeStats
	SlabStats   = arena.SlabStats
	BudgetStats = arena.BudgetStats
)

// Stats returns the figures as they are now. It stops nobody, so they are off
// by what other goroutines allocate and free meanwhile. After Close all but the
// name and the mode are zero.
func (a *Allocator) Stats() Stats {
	s := Stats{Name: a.name, Mode: vcpu.Probe().Mode}
	if !a.closed {
		s.Stats = *a.heap.Stats()
		footprint, reserved := a.caches.sizes()
		s.Metadata, s.Reserved = s.Metadata+footprint, s.Reserved+reserved
	}
	return s
}

// Slabs iterates over the vCPUs, and the Ps, that have free blocks at hand, as
// they are at that moment. It stops nobody.
func (a *Allocator) Slabs() iter.Seq[SlabStats] {
	if a.closed {
		return func(func(SlabStats) bool) {}
	}
	return a.heap.Slabs()
}

// Budgets iterates over the allocator's budget and those of its children, and
// theirs, each before its own and siblings by name, as they are at that moment.
// Children may be made and closed meanwhile.
func (a *Allocator) Budgets() iter.Seq[BudgetStats] { return a.budget.All() }

// InUse iterates over the size classes that have spans, smallest first.
func (s *Stats) InUse() iter.Seq[ClassStats] { return s.Classes.InUse() }

// Figures iterates over the numbers by their stable names, such as
// "/memory/live:bytes", in the order of the fields.
func (s *Stats) Figures() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		value := reflect.ValueOf(s.Stats)
		for i := range value.NumField() {
			if value.Field(i).Kind() != reflect.Int64 {
				continue // texts and lists
			}
			if !yield(value.Type().Field(i).Tag.Get("json"), value.Field(i).Int()) {
				return
			}
		}
	}
}

// String returns a table of where the memory is, for a person.
func (s Stats) String() string {
	var text strings.Builder
	limit := "no limit"
	if s.Limit > 0 {
		limit = "a limit of " + size(s.Limit)
	}
	fmt.Fprintf(&text, "%s: %s charged, %s, mode %v\n", s.Name, size(s.Charged), limit, s.Mode)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	gone := "of the above, returned to the system inside of spans"
	if s.GoneCharged > 0 {
		gone += "; limits count " + size(s.GoneCharged) + " of it"
	}
	total := s.Backed + s.Gone
	for _, row := range []struct {
		name  string
		bytes int64
		note  string
	}{
		{"live", s.Live, "blocks in use; rounding is at most " + size(s.RoundingMost) + " of it"},
		{"tails", s.Tails, "ends of spans, too short for an object"},
		{"magazines", s.CachedVCPU, "free objects at hand for vCPUs"},
		{"transfer", s.CachedTransfer, "free objects on their way between vCPUs"},
		{"central", s.CachedCentral, "free objects in spans that are partly used"},
		{"page heap", s.PageHeapFree, "free pages that may take memory"},
		{"gone", -s.Gone, gone},
		{"backed", s.Backed, "together, of which " + size(s.Retained) + " is free"},
		{"metadata", s.Metadata, "tables and magazines, on top"},
		{"released", s.Released, "returned to the system since the start"},
	} {
		share := ""
		if row.name != "released" && row.name != "metadata" && total > 0 {
			share = fmt.Sprintf("%.1f %%", 100*float64(row.bytes)/float64(total))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t  %s\n", row.name, size(row.bytes), share, row.note)
	}
	table.Flush() // a strings.Builder does not fail
	if s.HugePagesReason != "" || s.HugeBroken+s.HugeCollapsed > 0 {
		fmt.Fprintf(&text, "huge pages: %s, %d collapsed, %d broken %s\n", s.HugePages, s.HugeCollapsed, s.HugeBroken, s.HugePagesReason)
	}
	if s.DoubleFrees > 0 {
		fmt.Fprintf(&text, "double frees: %d blocks were free already when they came back to their spans\n", s.DoubleFrees)
	}
	s.writeNodes(&text)
	return text.String()
}

// writeNodes writes on which NUMA nodes the memory lies, if that needs to be told.
func (s *Stats) writeNodes(text *strings.Builder) {
	if s.Nodes.Len() < 2 && s.PlacementReason == "" {
		return
	}
	fmt.Fprintf(text, "nodes: %s", s.Placement)
	if s.PlacementReason != "" {
		fmt.Fprintf(text, " (%s)", s.PlacementReason)
	}
	fmt.Fprintln(text)
	if s.Nodes.Len() < 2 {
		return
	}
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for n := range s.Nodes.All() {
		fmt.Fprintf(table, "node %d\t%s\t  of which %s are free pages; others served its threads %d times\n", n.Node, size(n.Backed), size(n.PageHeapFree), n.Borrowed)
	}
	table.Flush()
}

// size is a number of bytes for a person.
func size(bytes int64) string {
	if bytes < 0 {
		return "-" + size(-bytes)
	}
	return humanize.IBytes(uint64(bytes))
}
