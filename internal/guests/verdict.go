package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// outcome is one row after its run. It is good if nothing was a surprise.
type outcome struct {
	row       Row
	console   console
	status    int // of the emulator
	took      time.Duration
	logs      []string // of its guests; none if there was no boot
	losses    []loss   // guests that do not count
	surprises []string
}

func (o outcome) summary() string {
	if len(o.surprises) > 0 {
		first, _, _ := strings.Cut(o.surprises[0], "\n")
		return "SURPRISE: " + first
	}
	return fmt.Sprintf("%s, %.0f s", o.verdict(), o.took.Seconds())
}

// verdict is the last column of the table.
func (o outcome) verdict() string {
	switch {
	case len(o.surprises) > 0:
		return "SURPRISE"
	case len(o.losses) > 0:
		return fmt.Sprintf("ok, %d of %d guests lost to the kernel", len(o.losses), len(o.logs))
	}
	return "ok"
}

// judge names everything that is not as the row expects.
func judge(row Row, seen console, status, jobs int) []string {
	var surprises []string
	surprise := func(format string, arguments ...any) {
		surprises = append(surprises, fmt.Sprintf(format, arguments...))
	}
	if status != plan.DebugExit {
		surprise("the emulator ended with status %d instead of %d: /init did not reach its end", status, plan.DebugExit)
	}
	for _, line := range seen.troubles {
		surprise("the kernel says: %s", line)
	}
	for _, line := range seen.malformed {
		surprise("a line for the runner is broken: %s", line)
	}
	surprises = append(surprises, judgeMode(row, seen.mode)...)
	if seen.result == nil {
		surprise("the last line of the console is not the result; %d jobs had ended", len(seen.jobs))
		return surprises
	}
	got := seen.result
	if !versionMatches(got.Kernel, row.Kernel) {
		surprise("kernel is %s, not %s", got.Kernel, row.Kernel)
	}
	if got.PageSize != row.PageSize {
		surprise("OS pages have %d bytes, not %d", got.PageSize, row.PageSize)
	}
	if got.CPUs != row.CPUs {
		surprise("%d CPUs are online, not %d", got.CPUs, row.CPUs)
	}
	if row.Nodes > 1 && got.Nodes != row.Nodes {
		surprise("%d NUMA nodes are online, not %d", got.Nodes, row.Nodes)
	}
	if len(got.Jobs) != jobs {
		surprise("%d jobs ran, not %d", len(got.Jobs), jobs)
	}
	for _, job := range got.Jobs {
		if !good(job) {
			surprise("%s", strings.Join(append([]string{fmt.Sprintf("job %q: %s", job.Name, describe(job))}, seen.faults.of[job.Name]...), "\n"))
		}
	}
	return surprises
}

func judgeMode(row Row, got *plan.Mode) []string {
	switch {
	case got == nil:
		return []string{"no job told which mode the module runs in"}
	case got.Mode != row.Mode:
		return []string{fmt.Sprintf("mode is %s (reason %q), not %s", got.Mode, got.Reason, row.Mode)}
	case row.Reason == "" && got.Reason != "":
		return []string{fmt.Sprintf("mode %s has reason %q; it should have none", got.Mode, got.Reason)}
	case !strings.Contains(got.Reason, row.Reason):
		return []string{fmt.Sprintf("the reason for mode %s is %q; it should say %q", got.Mode, got.Reason, row.Reason)}
	}
	return nil
}

func good(job plan.JobResult) bool { return job.Status == 0 && job.Error == "" }

func describe(job plan.JobResult) string {
	text := fmt.Sprintf("ok, %.1f s", job.Seconds)
	if !good(job) {
		text = fmt.Sprintf("FAILED with status %d, %.1f s", job.Status, job.Seconds)
	}
	if job.Error != "" {
		text += ": " + job.Error
	}
	return text
}

// report prints the table, then every surprise, and returns the number of rows
// that had one. "aborts" is what the tests have counted; "instructions" says at
// how many the stepper was, at how many of them the section was aborted, and at
// how many it came out right.
func report(out io.Writer, outcomes []outcome) int {
	bad := 0
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "row\tkernel\tpage\tcpus\tfeatures\tmode\treason\tjobs\taborts\tinstructions\tseconds\tverdict")
	for _, one := range outcomes {
		if len(one.surprises) > 0 {
			bad++
		}
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%s\n", one.row.Name, strings.Join(cells(one.console), "\t"), one.took.Seconds(), one.verdict())
	}
	table.Flush()
	for _, one := range outcomes {
		for _, note := range one.console.notes {
			fmt.Fprintf(out, "%s: %s\n", one.row.Name, note)
		}
		for _, lost := range one.losses {
			fmt.Fprintf(out, "%s: %s\n", one.row.Name, lost.tell(one.row))
		}
	}
	for i, one := range outcomes {
		if len(one.surprises) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s:\n", one.row.Name)
		if earlier := sameBefore(outcomes[:i], one); earlier != "" {
			fmt.Fprintf(out, "  - the same as %s\n", earlier)
			continue
		}
		for _, text := range one.surprises {
			fmt.Fprintf(out, "  - %s\n", strings.ReplaceAll(text, "\n", "\n    "))
		}
		if len(one.logs) == 0 {
			continue // it was not booted
		}
		fmt.Fprintf(out, "  log: %s\n", strings.Join(one.logs, " "))
		for _, command := range one.again() {
			fmt.Fprintf(out, "  alone: %s\n", command)
		}
	}
	return bad
}

// sameBefore returns the name of a row before one that was not booted either, for
// the same reasons.
func sameBefore(before []outcome, one outcome) string {
	for _, earlier := range before {
		if len(one.logs) == 0 && len(earlier.logs) == 0 && slices.Equal(earlier.surprises, one.surprises) {
			return earlier.row.Name
		}
	}
	return ""
}

// again returns the commands that run what has failed, and nothing else.
func (o outcome) again() (commands []string) {
	if o.console.result == nil {
		return []string{"go run ./internal/guests -row " + o.row.Name}
	}
	for _, job := range o.console.result.Jobs {
		if !good(job) {
			commands = append(commands, fmt.Sprintf("go run ./internal/guests -row %s '%s'", o.row.Name, job.Name))
		}
	}
	return commands
}

// cells are the columns that come from the guest.
func cells(seen console) []string {
	kernel, page, cpus, jobs, aborts := "-", "-", "-", "-", "-"
	if got := seen.result; got != nil {
		passed := 0
		for _, job := range got.Jobs {
			if good(job) {
				passed++
			}
		}
		kernel, page = got.Kernel, fmt.Sprint(got.PageSize)
		cpus, jobs, aborts = fmt.Sprint(got.CPUs), fmt.Sprintf("%d/%d", passed, len(got.Jobs)), fmt.Sprint(seen.figures.aborts)
	}
	features, mode, reason := "-", "-", ""
	if got := seen.mode; got != nil {
		features = fmt.Sprintf("%d/%d", got.KernelSize, got.KernelAlign)
		mode, reason = got.Mode, got.Reason
	}
	const enough = 40
	if len(reason) > enough {
		reason = reason[:enough] + "…"
	}
	return []string{kernel, page, cpus, features, mode, reason, jobs, aborts, seen.figures.stepped.String()}
}
