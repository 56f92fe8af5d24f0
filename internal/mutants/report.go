package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// verdict says in words what became of a mutant.
func (f fate) verdict() string {
	switch {
	case f.err != nil:
		return fmt.Sprintf("ERROR: %v", f.err)
	case !f.death.killed:
		return "SURVIVES"
	}
	return "killed by " + f.death.by
}

// report prints the table, and returns how many mutants are alive or could not
// be tried.
func report(out io.Writer, fates []fate, took time.Duration) (alive int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "mutant\tat\tfate\tseconds")
	for _, f := range fates {
		verdict := f.verdict()
		if f.err != nil {
			verdict = "ERROR"
		}
		if f.err != nil || !f.death.killed {
			alive++
		}
		fmt.Fprintf(table, "%s\t%s:%d\t%s\t%.1f\n", f.mutant.id(), f.at.file, f.at.line, verdict, f.took.Seconds())
	}
	table.Flush()
	fmt.Fprintf(out, "\n%d mutants, %d alive or not tried, %.0f s\n", len(fates), alive, took.Seconds())
	for _, f := range fates {
		if f.err != nil {
			fmt.Fprintf(out, "%s: %v\n", f.mutant.id(), f.err)
		}
	}
	return alive
}
