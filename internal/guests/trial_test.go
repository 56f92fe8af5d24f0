package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// A guest of these tests is told as words: a job that passed, a job that failed
// ("!"), a line of the kernel ("["), and how it ended: "end", or with nothing.
func guestOf(row Row, words ...string) console {
	var text strings.Builder
	line := func(prefix string, value any) {
		encoded, _ := json.Marshal(value)
		fmt.Fprintf(&text, "%s%s\n", prefix, encoded)
	}
	line(plan.ModePrefix, plan.Mode{Mode: row.Mode, Reason: row.Reason})
	result := plan.Result{Kernel: row.Kernel + ".1", PageSize: row.PageSize, CPUs: row.CPUs, Nodes: row.Nodes}
	for _, word := range words {
		name, failed := strings.CutPrefix(word, "!")
		switch {
		case word == "end":
			line(plan.ResultPrefix, result)
		case strings.HasPrefix(word, "["):
			fmt.Fprintln(&text, word)
		default:
			job := plan.JobResult{Name: name}
			if failed {
				job.Status = 2
				fmt.Fprintln(&text, "--- FAIL: Test")
			}
			result.Jobs = append(result.Jobs, job)
			line(plan.JobPrefix, job)
		}
	}
	return follow(strings.NewReader(text.String()), func(plan.JobResult) {})
}

const (
	badMap = "[   44.604085] BUG: Bad page map in process run  pte:101010101010101"
	panics = "[   45.000000] Kernel panic - not syncing: Fatal exception"
)

var unsoundRow = Row{Name: "u", Kernel: "6.19", PageSize: 4096, CPUs: 2, Nodes: 1, Mode: "mm_cid", Unsound: "it forgets"}

func TestLostGuestIsReplaced(t *testing.T) {
	all := []string{"probe", "one", "two", "three"}
	trial := newTrial(unsoundRow, all)
	again := trial.take(all, guestOf(unsoundRow, "probe", "!one", badMap, panics), 0, "")
	if want := []string{"one", "two", "three"}; !slices.Equal(again, want) {
		t.Fatalf("after a guest that was lost in job two %q run again, want %q", again, want)
	}
	if trial.lost["one"] != 1 || trial.lost["two"] != 1 || trial.lost["three"] != 0 {
		t.Errorf("the guest counts against %v, want it against one and two", trial.lost)
	}
	again = trial.take(append(all[:1:1], again...), guestOf(unsoundRow, "probe", "one", "two", "three", "end"), plan.DebugExit, "")
	if len(again) > 0 || len(trial.surprises) > 0 || len(trial.console.result.Jobs) != len(all) {
		t.Errorf("after a good guest: again %q, surprises %q, result %+v", again, trial.surprises, trial.console.result)
	}
	one := outcome{row: unsoundRow, console: trial.console, losses: trial.losses, logs: []string{"u.log", "u.2.log"}, surprises: trial.surprises}
	var out strings.Builder
	if bad := report(&out, []outcome{one}); bad != 0 {
		t.Errorf("%d rows are bad", bad)
	}
	for _, want := range []string{"1 of 2 guests lost to the kernel", badMap, "it forgets", "one + two + three", "4/4"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

// Everything here is a failure of ours, whatever the row forgives.
func TestNothingElseIsForgiven(t *testing.T) {
	sound := unsoundRow
	sound.Unsound = ""
	other := unsoundRow
	other.Mode, other.Reason = "cpu_id", "why"
	all := []string{"probe", "one"}
	for name, test := range map[string]struct {
		row    Row
		seen   console
		status int
		want   string
	}{
		"report in a sound row":        {sound, guestOf(sound, "probe", "!one", badMap, "end"), plan.DebugExit, "Bad page map"},
		"report, and all passed":       {sound, guestOf(sound, "probe", "one", badMap, "end"), plan.DebugExit, "Bad page map"},
		"failure without a report":     {unsoundRow, guestOf(unsoundRow, "probe", "!one", "end"), plan.DebugExit, `job "one": FAILED`},
		"panic without a report":       {unsoundRow, guestOf(unsoundRow, "probe", panics), 0, "status 0"},
		"report by a job":              {unsoundRow, guestOf(unsoundRow, "probe", "[not a time] BUG: Bad page map", "!one", "end"), plan.DebugExit, `job "one": FAILED`},
		"fault of a program":           {unsoundRow, guestOf(unsoundRow, "probe", "[    3.000000] traps: run[9] general protection fault ip:1 sp:2 error:0", "!one", "end"), plan.DebugExit, `job "one": FAILED`},
		"other mode in a lost guest":   {unsoundRow, guestOf(other, "probe", badMap), 0, "mode is cpu_id"},
		"no guest came to its end":     {unsoundRow, guestOf(unsoundRow, "probe", "one", badMap), 0, "no guest came to its end"},
		"timed out without any report": {unsoundRow, guestOf(unsoundRow, "probe"), -1, "late"},
	} {
		trial := newTrial(test.row, all)
		late := ""
		if test.status == -1 {
			late = "late"
		}
		trial.take(all, test.seen, test.status, late)
		if got := strings.Join(trial.surprises, "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s: surprises %q, want one with %q", name, got, test.want)
		}
	}
}

func TestJobIsLostTooOften(t *testing.T) {
	all := []string{"probe", "one", "two"}
	trial := newTrial(unsoundRow, all)
	again := all
	for guest := 1; guest < guestsPerJob; guest++ {
		again = trial.take(all, guestOf(unsoundRow, "probe", badMap), 0, "")
		if !slices.Equal(again, all[1:]) || len(trial.surprises) > 0 {
			t.Fatalf("guest %d: again %q, surprises %q", guest, again, trial.surprises)
		}
	}
	again = trial.take(all, guestOf(unsoundRow, "probe", badMap), 0, "")
	if !slices.Equal(again, all[2:]) || len(trial.surprises) != 1 || !strings.Contains(trial.surprises[0], `job "one" was lost with 4 guests`) {
		t.Errorf("guest %d: again %q, surprises %q; only job two has not been tried", guestsPerJob, again, trial.surprises)
	}
}

// A guest in which the kernel complains and every job passes is told of, and enough.
func TestPassesOfALostGuestCount(t *testing.T) {
	all := []string{"probe", "one"}
	trial := newTrial(unsoundRow, all)
	again := trial.take(all, guestOf(unsoundRow, "probe", badMap, "one", "end"), plan.DebugExit, "")
	if len(again) > 0 || len(trial.surprises) > 0 || len(trial.losses) != 1 || !strings.Contains(trial.losses[0].tell(unsoundRow), "every job had passed") {
		t.Errorf("again %q, surprises %q, losses %+v", again, trial.surprises, trial.losses)
	}
}

func TestCorruptionReports(t *testing.T) {
	for line, want := range map[string]bool{
		badMap: true,
		"[  111.231648] BUG: Bad page state in process run  pfn:00000":                    true,
		"[  106.864318] BUG: kernel NULL pointer dereference, address: 0000000000000098":  true,
		"[   79.972380] Internal error: Oops: 0000000096000007 [#1]  SMP":                 true,
		"--- PASS: TestX[   75.907997] Oops: general protection fault, probably for":      true,
		"[   12.000001] BUG: Bad rss-counter state mm:00000000 type:MM_ANONPAGES val:512": true,
		"BUG: Bad page map":            false, // no time of the kernel's
		"[    9.1] BUG: Bad page map":  false,
		panics:                         false, // for whatever reason
		"[   31.429821] WARNING: at x": false,
	} {
		if got := corruptionReport.MatchString(line); got != want {
			t.Errorf("%q is a report: %v, want %v", line, got, want)
		}
	}
}
