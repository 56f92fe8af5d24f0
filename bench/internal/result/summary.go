package result

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// Spread is a median and what lies around it.
type Spread struct{ Median, Low, High float64 }

// Summary is what the rounds of one cell (shape, CPUs, peer) come to.
type Summary struct {
	Peer   string
	Rounds int
	Time   Spread  // ns per operation
	Ratio  float64 // of the median to the baseline's; 0 where there is none
	CPU    float64 // ns of all threads per operation, median
	Peak   Spread  // bytes
	Added  float64 // bytes of the peak that were not resident at the start

	// Medians.
	GCCycles, GCShare        float64
	HeapObjects, Aborts      float64 // per operation
	MinorFaults, MajorFaults float64 // of the measured time
	StartBytes, EndBytes     float64
	Arenas                   float64

	Mode, ModeReason string

	Figures map[string]float64 // of Sample.Figures, medians
}

// Group is the peers' summaries of one shape on one number of CPUs.
type Group struct {
	Shape     Labelled
	CPUs      int
	Summaries []Summary
}

// Groups summarises the samples, in the order of the document's tables.
func (d *Document) Groups() []Group {
	groups := []Group{}
	for _, shape := range d.Shapes {
		for _, cpus := range d.Settings.CPUs {
			group := Group{Shape: shape, CPUs: cpus}
			for _, peer := range d.Peers {
				cell := slices.DeleteFunc(slices.Clone(d.Samples), func(s Sample) bool {
					return s.Shape != shape.Name || s.Peer != peer.Name || s.CPUs != cpus
				})
				if len(cell) > 0 {
					group.Summaries = append(group.Summaries, summarise(cell))
				}
			}
			if len(group.Summaries) > 0 {
				group.relate(d.Settings.Baseline)
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// Figures returns the names of the figures that the group has besides time and
// memory, in the order in which they were looked at.
func (g Group) Figures() []string {
	names := []string{}
	for _, known := range figureOrder {
		for _, s := range g.Summaries {
			if _, ok := s.Figures[known]; ok && !slices.Contains(names, known) {
				names = append(names, known)
			}
		}
	}
	return names
}

// figureOrder are all figures that shapes look at: bytes of blocks in use, and
// resident memory since the start; blocks that were refused; times that a reader
// waits for a value.
var figureOrder = []string{
	"live_bytes", "after_free_bytes", "after_wait_bytes", "after_pairs_bytes", "all_freed_bytes",
	"before_burst_bytes", "in_burst_bytes", "after_burst_bytes", "refused_count",
	"read_median_ns", "read_p99.9_ns", "read_longest_ns",
}

// FigureInWords gives a figure's value and name for people, by its unit.
func FigureInWords(name string, value float64) (heading, text string) {
	if short, ok := strings.CutSuffix(name, "_bytes"); ok {
		return strings.ReplaceAll(short, "_", " ") + " MiB", fmt.Sprintf("%.1f", value/(1<<20))
	}
	if short, ok := strings.CutSuffix(name, "_count"); ok {
		return short, fmt.Sprintf("%.0f", value)
	}
	short := strings.TrimSuffix(name, "_ns")
	return strings.ReplaceAll(short, "_", " ") + " us", fmt.Sprintf("%.2f", value/1000)
}

// relate fills in the ratios to the baseline.
func (g *Group) relate(baseline string) {
	at := slices.IndexFunc(g.Summaries, func(s Summary) bool { return s.Peer == baseline })
	if at < 0 || g.Summaries[at].Time.Median == 0 {
		return
	}
	for i := range g.Summaries {
		g.Summaries[i].Ratio = g.Summaries[i].Time.Median / g.Summaries[at].Time.Median
	}
}

func summarise(cell []Sample) Summary {
	over := func(value func(Sample) float64) Spread {
		values := make([]float64, len(cell))
		for i, sample := range cell {
			values[i] = value(sample)
		}
		return spreadOf(values)
	}
	perOperation := func(count func(Sample) int64) float64 {
		return over(func(s Sample) float64 { return float64(count(s)) / float64(max(s.Operations, 1)) }).Median
	}
	figures := map[string]float64{}
	for name := range cell[0].Figures {
		figures[name] = over(func(s Sample) float64 { return s.Figures[name] }).Median
	}
	return Summary{
		Figures:     figures,
		Peer:        cell[0].Peer,
		Rounds:      len(cell),
		Time:        over(func(s Sample) float64 { return s.NSPerOperation }),
		Peak:        over(func(s Sample) float64 { return float64(s.PeakBytes) }),
		CPU:         over(func(s Sample) float64 { return s.CPUPerOperation }).Median,
		Added:       over(func(s Sample) float64 { return float64(max(0, s.PeakBytes-s.StartBytes)) }).Median,
		StartBytes:  over(func(s Sample) float64 { return float64(s.StartBytes) }).Median,
		EndBytes:    over(func(s Sample) float64 { return float64(s.EndBytes) }).Median,
		GCCycles:    over(func(s Sample) float64 { return float64(s.GCCycles) }).Median,
		GCShare:     over(func(s Sample) float64 { return s.GCShare }).Median,
		MinorFaults: over(func(s Sample) float64 { return float64(s.MinorFaults) }).Median,
		MajorFaults: over(func(s Sample) float64 { return float64(s.MajorFaults) }).Median,
		HeapObjects: perOperation(func(s Sample) int64 { return s.HeapObjects }),
		Aborts:      perOperation(func(s Sample) int64 { return s.Aborts }),
		Arenas:      over(func(s Sample) float64 { return float64(s.Arenas) }).Median,
		Mode:        cell[0].Mode,
		ModeReason:  cell[0].ModeReason,
	}
}

// spreadOf takes the median as benchstat does, and the lowest and highest
// value: with a handful of rounds there is no confidence interval to speak of.
func spreadOf(values []float64) Spread {
	sample := benchmath.NewSample(values, &benchmath.DefaultThresholds)
	return Spread{
		Median: benchmath.AssumeNothing.Summary(sample, 0.95).Center,
		Low:    slices.Min(values),
		High:   slices.Max(values),
	}
}
