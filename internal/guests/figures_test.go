package main

import (
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

func TestFigures(t *testing.T) {
	var f figures
	for _, line := range []string{
		"    stack_test.go:54: mode mm_cid, 1750 rounds, 663 aborts",
		`GUEST-NOTE "churn on 2 CPUs: mode cpu_id, 7350 rounds, 1216 aborts, 81 registrations"`,
		"    points_linux_test.go:62: pop aborts at its points: map[1:0 2:8]",
		"pop         signal      11 instructions,  11 aborted,  11 right ( 20 stops); outside   8, 0 aborted,   8 right",
	} {
		f.line(line)
	}
	if f.aborts != 663+1216 || f.stepped.String() != "-" {
		t.Errorf("%d aborts, stepped %v", f.aborts, f.stepped)
	}
	f.line("in mode mm_cid by signal: 109 instructions, 109 aborted, 109 right (280 stops); outside 104, 0 aborted, 104 right")
	f.line("in mode mm_cid by preemption: 109 instructions, 108 aborted, 107 right (213 stops); outside 104, 0 aborted, 104 right")
	f.line("in mode mm_cid by intrusion:  99 instructions,  99 aborted,  99 right (280 stops); outside 104, 0 aborted, 104 right")
	if got := f.stepped.String(); got != "99/99/99" {
		t.Errorf("stepped %s, want the lowest figures", got)
	}
}

// TestFaultsAreNamed: what a job said is told with it, and with no other.
func TestFaultsAreNamed(t *testing.T) {
	text := "panic: of a test that recovers\n" +
		`GUEST-JOB {"Name":"fine","Status":0}` + "\n" +
		"    --- FAIL: TestX/y (0.1s)\n    x_test.go:5: what it was\n" +
		`GUEST-JOB {"Name":"bad","Status":1}` + "\n" +
		`GUEST-RESULT {"Kernel":"6.1.0","Jobs":[{"Name":"fine","Status":0},{"Name":"bad","Status":1}]}` + "\n"
	seen := follow(strings.NewReader(text), func(plan.JobResult) {})
	surprises := strings.Join(judge(testRow, seen, plan.DebugExit, 2), "\n")
	if !strings.Contains(surprises, `job "bad": FAILED with status 1, 0.0 s`+"\n--- FAIL: TestX/y (0.1s)") || strings.Contains(surprises, "panic") {
		t.Errorf("surprises are %s", surprises)
	}
	var out strings.Builder
	report(&out, []outcome{{row: testRow, console: seen, surprises: []string{surprises}, logs: []string{"r.log"}}})
	for _, want := range []string{"r.log", "-row r 'bad'", "--- FAIL: TestX/y"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}
