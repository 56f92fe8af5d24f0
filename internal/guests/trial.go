package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// corruptionReport is a line of the kernel's log, by its time, in which the kernel
// says that it found its own memory spoilt, or has fallen over it. A job cannot
// bring that about, whatever it does.
var corruptionReport = regexp.MustCompile(`\[ *\d+\.\d{6}\].*(?:` + strings.Join([]string{
	`BUG: Bad page (?:map|state|cache)`,
	`BUG: Bad rss-counter state`,
	`BUG: non-zero pgtables_bytes`,
	`BUG: unable to handle (?:page fault|kernel)`,
	`BUG: kernel NULL pointer dereference`,
	`Unable to handle kernel `,
	`kernel BUG at `,
	`list_(?:add|del) corruption`,
	`stack-protector: Kernel stack is corrupted`,
	`corrupted stack end detected`,
	`Oops: `,
}, "|") + `)`)

// guestsPerJob is in how many guests a job of an unsound row may be lost.
const guestsPerJob = 4

// loss is a guest whose kernel spoilt its own memory, by its own account.
type loss struct {
	report string   // the first line in which the kernel said so
	again  []string // the jobs that failed in it, or did not come to their end
}

// trial is a row while its guests run: one, unless the row is unsound and a guest
// is lost. Then what failed in that guest, or had not run, runs in a fresh one.
//
// A job's last result counts, and each job has passed, has failed, is yet to run,
// or was lost with guestsPerJob guests, which is a surprise.
type trial struct {
	row       Row
	jobs      []string // all of the row, in their order
	passed    map[string]plan.JobResult
	lost      map[string]int // guests, by the job that they took along
	losses    []loss
	console   console // of all guests
	status    int     // of the last guest's emulator
	surprises []string
}

func newTrial(row Row, jobs []string) *trial {
	return &trial{row: row, jobs: jobs, passed: map[string]plan.JobResult{}, lost: map[string]int{}}
}

// take judges a guest that was to run the jobs, and names those that the next
// guest has to run: none, if the trial is over. late says what ended the guest
// before its time, or is empty.
func (t *trial) take(jobs []string, seen console, status int, late string) (again []string) {
	t.status = status
	if t.row.Unsound == "" || seen.corruption == "" {
		t.merge(jobs, seen)
		if late != "" {
			t.surprises = append(t.surprises, late)
		}
		t.surprises = append(t.surprises, judge(t.row, seen, status, len(jobs))...)
		return nil
	}
	again = t.loseGuest(jobs, seen)
	t.merge(jobs, seen)
	if len(again) == 0 && len(t.surprises) == 0 && t.console.result == nil {
		t.surprises = append(t.surprises, "no guest came to its end: "+seen.corruption)
	}
	return again
}

// loseGuest sorts out what a guest whose memory was spoilt has shown all the same.
// Nothing but a pass counts: a failure may be the kernel's, found out late.
func (t *trial) loseGuest(jobs []string, seen console) (again []string) {
	if seen.mode != nil {
		t.surprises = append(t.surprises, judgeMode(t.row, seen.mode)...)
	}
	ended := map[string]plan.JobResult{}
	for _, job := range seen.jobs {
		ended[job.Name] = job
	}
	running := true
	for _, name := range jobs {
		result, done := ended[name]
		switch {
		case done && good(result):
			continue
		case done, running: // of those that have not ended the first one ran
			t.lost[name]++
		}
		running = running && done
		if t.lost[name] < guestsPerJob {
			again = append(again, name)
			continue
		}
		t.surprises = append(t.surprises, fmt.Sprintf("job %q was lost with %d guests, the last time to: %s", name, guestsPerJob, seen.corruption))
	}
	t.losses = append(t.losses, loss{seen.corruption, again})
	return again
}

// merge adds a guest to what the table shows of the row.
func (t *trial) merge(jobs []string, seen console) {
	for _, job := range seen.jobs {
		if good(job) {
			t.passed[job.Name] = job
		}
	}
	first, earlier := t.console.mode, t.console
	t.console = seen
	if first != nil {
		t.console.mode = first
	}
	t.console.notes = append(earlier.notes, seen.notes...)
	t.console.figures.aborts += earlier.figures.aborts
	if t.console.figures.stepped.reports == 0 {
		t.console.figures.stepped = earlier.figures.stepped
	}
	if seen.result == nil {
		t.console.result = earlier.result
		return
	}
	whole := *seen.result
	whole.Jobs = nil
	failed := map[string]plan.JobResult{}
	for _, job := range seen.result.Jobs {
		failed[job.Name] = job
	}
	for _, name := range t.jobs {
		if job, ok := t.passed[name]; ok {
			whole.Jobs = append(whole.Jobs, job)
		} else if job, ok := failed[name]; ok {
			whole.Jobs = append(whole.Jobs, job)
		}
	}
	t.console.result = &whole
}

// tell says what became of a lost guest.
func (l loss) tell(row Row) string {
	text := fmt.Sprintf("a guest lost to its kernel (%s): %s", row.Unsound, l.report)
	if len(l.again) == 0 {
		return text + "; every job had passed"
	}
	return text + "; in a fresh guest: " + strings.Join(l.again, " + ")
}
