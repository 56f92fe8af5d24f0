package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"golang.org/x/perf/benchmath"
	"golang.org/x/perf/benchunit"
)

type compareCommand struct {
	Old string `arg:"" help:"File of results to compare with."`
	New string `arg:"" help:"File of results."`
}

// measures are what two files are compared by.
var measures = []struct {
	name   string
	prefix benchunit.Class
	unit   string
	of     func(result.Sample) float64
}{
	{"time per operation", benchunit.Decimal, "s/op", func(s result.Sample) float64 { return s.NSPerOperation / 1e9 }},
	{"CPU time per operation", benchunit.Decimal, "s/op", func(s result.Sample) float64 { return s.CPUPerOperation / 1e9 }},
	{"peak resident memory", benchunit.Binary, "B", func(s result.Sample) float64 { return float64(s.PeakBytes) }},
}

// Run compares cell by cell what both files have.
func (c compareCommand) Run(to streams) error {
	before, err := result.Load(c.Old)
	if err != nil {
		return err
	}
	after, err := result.Load(c.New)
	if err != nil {
		return err
	}
	for _, d := range []*result.Document{before, after} {
		printMachine(to.out, d)
	}
	for _, difference := range differences(before, after) {
		fmt.Fprintf(to.out, "warning: %s\n", difference)
	}
	rows := cellsOfBoth(before, after)
	if len(rows) == 0 {
		return fmt.Errorf("%s and %s have no shape and peer in common", c.Old, c.New)
	}
	for _, m := range measures {
		if err := printComparison(to.out, rows, m.name, m.unit, m.prefix, m.of, c); err != nil {
			return err
		}
	}
	return nil
}

// differences says what else than the program changed from one run to the other.
func differences(before, after *result.Document) []string {
	found := []string{}
	differ := func(what string, a, b any) {
		if fmt.Sprint(a) != fmt.Sprint(b) {
			found = append(found, fmt.Sprintf("%s was %v, is %v", what, a, b))
		}
	}
	differ("the machine", before.Machine, after.Machine)
	differ("the mode", before.Features.Mode, after.Features.Mode)
	differ("the time of a measurement", before.Settings.Time, after.Settings.Time)
	differ("the seed", before.Settings.Seed, after.Settings.Seed)
	differ("the environment", before.Machine.Environment, after.Machine.Environment)
	for _, d := range []*result.Document{before, after} {
		for _, warning := range d.Warnings {
			found = append(found, d.Started.Format("15:04:05")+": "+warning)
		}
	}
	return found
}

// comparedCell is what both files say of one shape and peer.
type comparedCell struct {
	name          string
	before, after []result.Sample
}

// cellsOfBoth are the cells that both documents have, in the order of the newer.
func cellsOfBoth(before, after *result.Document) []comparedCell {
	cells := []comparedCell{}
	for _, s := range after.Samples {
		name := fmt.Sprintf("%s/%s-%d", s.Shape, s.Peer, s.CPUs)
		at := slices.IndexFunc(cells, func(c comparedCell) bool { return c.name == name })
		if at < 0 {
			at = len(cells)
			old := slices.DeleteFunc(slices.Clone(before.Samples), func(o result.Sample) bool {
				return o.Shape != s.Shape || o.Peer != s.Peer || o.CPUs != s.CPUs
			})
			cells = append(cells, comparedCell{name: name, before: old})
		}
		cells[at].after = append(cells[at].after, s)
	}
	return slices.DeleteFunc(cells, func(c comparedCell) bool { return len(c.before) == 0 })
}

func printComparison(w io.Writer, cells []comparedCell, name, unit string, prefix benchunit.Class, of func(result.Sample) float64, files compareCommand) error {
	const confidence = 0.95
	test := benchmath.AssumeNothing
	fmt.Fprintf(w, "%s, from %s to %s\n", name, files.Old, files.New)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "shape/peer-CPUs\told %s\tnew %s\tchange\n", unit, unit)
	warnings := []string{}
	logarithms, counted := 0.0, 0
	for _, cell := range cells {
		samples, summaries := [2]*benchmath.Sample{}, [2]benchmath.Summary{}
		for i, side := range [][]result.Sample{cell.before, cell.after} {
			values := make([]float64, len(side))
			for j, sample := range side {
				values[j] = of(sample)
			}
			samples[i] = benchmath.NewSample(values, &benchmath.DefaultThresholds)
			summaries[i] = test.Summary(samples[i], confidence)
			warnings = appendWarnings(warnings, summaries[i].Warnings)
		}
		old, now := summaries[0].Center, summaries[1].Center
		comparison := test.Compare(samples[0], samples[1])
		warnings = appendWarnings(warnings, comparison.Warnings)
		fmt.Fprintf(table, "%s\t%s ± %s\t%s ± %s\t%s (%s)\n", cell.name,
			benchunit.Scale(old, prefix), summaries[0].PctRangeString(),
			benchunit.Scale(now, prefix), summaries[1].PctRangeString(),
			comparison.FormatDelta(old, now), comparison)
		if old > 0 && now > 0 {
			logarithms += math.Log(now / old)
			counted++
		}
	}
	if counted > 0 {
		fmt.Fprintf(table, "geometric mean\t\t\t%+.2f%%\n", 100*(math.Exp(logarithms/float64(counted))-1))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, warning := range warnings {
		fmt.Fprintf(w, "note: %s\n", warning)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// appendWarnings adds those that are new.
func appendWarnings(to []string, warnings []error) []string {
	for _, warning := range warnings {
		if words := warning.Error(); !slices.Contains(to, words) {
			to = append(to, words)
		}
	}
	return to
}
