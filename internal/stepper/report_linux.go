//go:build amd64 || arm64

package main

import (
	"fmt"
	"io"
	"strings"
)

// record is what was seen at one instruction, in all scenarios and passes.
type record struct {
	inside                bool
	stops, aborted, right int
}

// account is what was seen of one section, for one way to interrupt.
type account struct {
	section *section
	how     interruption
	records map[uint64]*record
	faults  []string
}

func (a *account) add(made *attempt) {
	r := a.records[made.place.address]
	if r == nil {
		r = &record{inside: made.place.inside}
		a.records[made.place.address] = r
	}
	r.stops++
	if made.aborted {
		r.aborted++
	}
	if len(made.faults) == 0 {
		r.right++
	}
}

// sum counts instructions: one is aborted, or right, if it was at every stop.
func (a *account) sum(inside bool) (instructions, stops, aborted, right int) {
	for _, r := range a.records {
		if r.inside != inside {
			continue
		}
		instructions++
		stops += r.stops
		if r.aborted == r.stops {
			aborted++
		}
		if r.right == r.stops {
			right++
		}
	}
	return
}

// tally is what comes out of one or more accounts: of the instructions at which
// the kernel must abort, and of the others.
type tally struct {
	inside, stops, aborted, right   int
	outside, outAborted, rightThere int
}

func (t *tally) add(a *account) {
	in, stops, aborted, right := a.sum(true)
	out, _, outAborted, outRight := a.sum(false)
	t.inside, t.stops, t.aborted, t.right = t.inside+in, t.stops+stops, t.aborted+aborted, t.right+right
	t.outside, t.outAborted, t.rightThere = t.outside+out, t.outAborted+outAborted, t.rightThere+outRight
}

func (t *tally) String() string {
	return fmt.Sprintf("%3d instructions, %3d aborted, %3d right (%3d stops); outside %3d, %d aborted, %3d right",
		t.inside, t.aborted, t.right, t.stops, t.outside, t.outAborted, t.rightThere)
}

func (a *account) String() string {
	var t tally
	t.add(a)
	return fmt.Sprintf("%-11s %-10s %v", a.section.Name, a.how, &t)
}

// maxFaults is how many faults of a section are printed in full.
const maxFaults = 12

func (a *account) print(out io.Writer) {
	fmt.Fprintln(out, a)
	for i, fault := range a.faults {
		if i == maxFaults {
			fmt.Fprintf(out, "    and %d more\n", len(a.faults)-i)
			break
		}
		fmt.Fprintf(out, "    WRONG: %s\n", fault)
	}
}

// blame adds the faults of a stop with the place at which they were found.
func (a *account) blame(where string, faults []string) {
	if len(faults) > 0 {
		a.faults = append(a.faults, where+": "+strings.Join(faults, "; "))
	}
}
