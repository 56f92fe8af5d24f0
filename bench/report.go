package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/vcpualloc/vcpualloc/bench/internal/page"
	"github.com/vcpualloc/vcpualloc/bench/internal/picture"
	"github.com/vcpualloc/vcpualloc/bench/internal/result"
)

type reportCommand struct {
	Out  string   `help:"Directory for the pictures; default: beside each file." placeholder:"DIR"`
	File []string `arg:"" help:"Files of results."`
}

// Run reports each of the files.
func (c reportCommand) Run(to streams) error {
	for _, file := range c.File {
		d, err := result.Load(file)
		if err != nil {
			return err
		}
		directory := c.Out
		if directory == "" {
			directory = filepath.Dir(file)
		}
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return fmt.Errorf("cannot make a directory for the pictures: %w", err)
		}
		printMachine(to.out, d)
		if err := report(to.out, d, file, filepath.Join(directory, result.Base(file))); err != nil {
			return err
		}
	}
	return nil
}

// report prints the tables of a document that lies in file, draws it into
// base.svg, base.png and base.html, and says where they are.
func report(w io.Writer, d *result.Document, file, base string) error {
	for _, group := range d.Groups() {
		if err := printGroup(w, d, group); err != nil {
			return err
		}
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	pictures, err := picture.Save(d, filepath.Base(file), base)
	if err != nil {
		return err
	}
	if err := page.Save(d, filepath.Base(file), pictures[0], base+".html"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "results: %s\npage:    %s.html\npicture: %s\n", file, base, strings.Join(pictures, "\n         "))
	return err
}

// printMachine prints what the figures depend on.
func printMachine(w io.Writer, d *result.Document) {
	fmt.Fprintf(w, "machine %s\n        %s\nstarted %s\n\n",
		d.Machine, d.Machine.Conditions(), d.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
}

func printGroup(w io.Writer, d *result.Document, group result.Group) error {
	fmt.Fprintf(w, "%s: %s\n", group.Shape.Name, group.Shape.About)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	names := len("GOMAXPROCS=99")
	for _, s := range group.Summaries {
		names = max(names, len(s.Peer))
	}
	fmt.Fprintf(table, "%-*s\tns/op\tlow..high\tratio\tCPU ns\tpeak MiB\tadded MiB\tend MiB\tfaults\tGC cycles\tGC CPU\tGo allocs/op\taborts/M\tarenas\t\n",
		names, fmt.Sprintf("GOMAXPROCS=%d", group.CPUs))
	for _, s := range group.Summaries {
		fmt.Fprintf(table, "%-*s\t%s\t%s..%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t%.0f\t%.1f %%\t%s\t%s\t%s\t\n",
			names, s.Peer, digits(s.Time.Median), digits(s.Time.Low), digits(s.Time.High), ratio(s, d.Settings), digits(s.CPU),
			unlessZero(s.Peak.Median/(1<<20), "%.1f"), unlessZero(s.Added/(1<<20), "%.1f"), unlessZero(s.EndBytes/(1<<20), "%.1f"), s.MinorFaults+s.MajorFaults, s.GCCycles, 100*s.GCShare, digits(s.HeapObjects),
			unlessZero(s.Aborts*1e6, "%.2f"), unlessZero(s.Arenas, "%.0f"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := printFigures(w, group, names); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// printFigures prints what only this shape looks at, if it does.
func printFigures(w io.Writer, group result.Group, names int) error {
	columns := group.Figures()
	if len(columns) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-*s\t", names, "")
	for _, column := range columns {
		heading, _ := result.FigureInWords(column, 0)
		fmt.Fprintf(table, "%s\t", heading)
	}
	fmt.Fprintln(table)
	for _, s := range group.Summaries {
		fmt.Fprintf(table, "%-*s\t", names, s.Peer)
		for _, column := range columns {
			_, text := result.FigureInWords(column, s.Figures[column])
			fmt.Fprintf(table, "%s\t", text)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// ratio is the time as a multiple of the baseline's. The harness has none: it
// allocates nothing.
func ratio(s result.Summary, settings result.Settings) string {
	if settings.IsHarness(s.Peer) {
		return "-"
	}
	return unlessZero(s.Ratio, "%.2f")
}

func unlessZero(value float64, format string) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf(format, value)
}

// digits prints a figure with as many digits after the point as mean something.
func digits(value float64) string {
	switch {
	case value >= 1000:
		return fmt.Sprintf("%.0f", value)
	case value >= 100:
		return fmt.Sprintf("%.1f", value)
	case math.Abs(value) < 0.005:
		return "0"
	}
	return fmt.Sprintf("%.2f", value)
}
