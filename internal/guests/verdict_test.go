package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

var testRow = Row{Name: "r", Arch: "arm64", Kernel: "6.1", PageSize: 16384, CPUs: 8, Nodes: 2, Mode: "cpu_id", Reason: "mm_cid ends"}

const goodConsole = "[    0.1] hello\r\n" +
	`GUEST-MODE {"Mode":"cpu_id","Reason":"20 bytes, mm_cid ends at 28"}` + "\r\n" +
	`GUEST-MODE {"Mode":"assigned","Reason":"a later job was told so"}` + "\r\n" +
	`GUEST-JOB {"Name":"one","Status":0}` + "\r\n\r\n" +
	`GUEST-RESULT {"Kernel":"6.1.0-50-cloud-arm64","PageSize":16384,"CPUs":8,"Nodes":2,"Jobs":[{"Name":"one","Status":0}]}` + "\r\n"

// replaced must change its text, or the test would prove nothing.
func replaced(t *testing.T, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in the console text", old)
	}
	return strings.ReplaceAll(text, old, new)
}

func TestJudge(t *testing.T) {
	jobs := 0
	seen := follow(strings.NewReader(goodConsole), func(plan.JobResult) { jobs++ })
	if got := judge(testRow, seen, plan.DebugExit, 1); len(got) != 0 || jobs != 1 {
		t.Fatalf("a good row has surprises %q, %d jobs", got, jobs)
	}
	for _, test := range []struct{ old, new, want string }{
		{"6.1.0-50", "6.12.3", "kernel is 6.12.3"},
		{`"PageSize":16384`, `"PageSize":4096`, "4096 bytes"},
		{`"CPUs":8`, `"CPUs":7`, "7 CPUs"},
		{`"Nodes":2`, `"Nodes":1`, "1 NUMA nodes"},
		{`[{"Name":"one","Status":0}]`, `[]`, "0 jobs ran"},
		{`[{"Name":"one","Status":0}]`, `[{"Name":"one","Status":2}]`, `job "one": FAILED with status 2`},
		{`[{"Name":"one","Status":0}]`, `[{"Name":"one","Status":0,"Error":"late"}]`, "late"},
		{`"Mode":"cpu_id"`, `"Mode":"mm_cid"`, "mode is mm_cid"}, // better than expected
		{`"Mode":"cpu_id"`, `"Mode":"assigned"`, "mode is assigned"},
		{"mm_cid ends", "no reason", "should say"},
		{"GUEST-MODE", "GUEST-MOOD", "no job told"},
		{"GUEST-RESULT", "GUEST-RESULTS", "last line"},
		{`"Nodes":2`, `"Nodes":`, "broken"},
		{"hello", "Kernel panic - not syncing", "the kernel says"},
	} {
		text := replaced(t, goodConsole, test.old, test.new)
		got := judge(testRow, follow(strings.NewReader(text), func(plan.JobResult) {}), plan.DebugExit, 1)
		if !strings.Contains(strings.Join(got, "\n"), test.want) {
			t.Errorf("with %q instead of %q the surprises are %q, want %q", test.new, test.old, got, test.want)
		}
	}
}

func TestJudgeEnds(t *testing.T) {
	ignore := func(plan.JobResult) {}
	seen := follow(strings.NewReader(goodConsole), ignore)
	if got := judge(testRow, seen, 0, 1); len(got) != 1 || !strings.Contains(got[0], "status 0 instead of 33") {
		t.Errorf("status 0 gives %q", got)
	}
	seen = follow(strings.NewReader(goodConsole+"something after it\n"), ignore)
	if got := judge(testRow, seen, plan.DebugExit, 1); len(got) != 1 || !strings.Contains(got[0], "last line") {
		t.Errorf("a line after the result gives %q", got)
	}
	twice := "[ 8.1] Kernel panic - not syncing\n"
	seen = follow(strings.NewReader(strings.SplitAfter(goodConsole, "GUEST-RESULT")[0]+"\n"+twice+"[ 0.0] Linux version\n"+twice), ignore)
	if got := strings.Join(judge(testRow, seen, plan.DebugExit, 1), "\n"); strings.Count(got, "the kernel says") != 1 || !strings.Contains(got, `1 jobs had ended`) {
		t.Errorf("a panic after job one gives %q", got)
	}
	seen = follow(strings.NewReader(goodConsole[:len(goodConsole)-20]), ignore)
	if got := judge(testRow, seen, plan.DebugExit, 1); len(got) == 0 {
		t.Error("a result that is cut off must be a surprise")
	}
}

func TestBoot(t *testing.T) {
	var log strings.Builder
	seen, status, err := boot(exec.Command("sh", "-c", `printf '%s' "$0"; exit 33`, goodConsole), &log, func(plan.JobResult) {})
	if err != nil || status != plan.DebugExit || seen.result == nil || seen.mode == nil {
		t.Errorf("boot = %+v, %d, %v", seen, status, err)
	}
	if !strings.HasSuffix(log.String(), goodConsole) {
		t.Errorf("log is %q", log.String())
	}
	if _, _, err := boot(exec.Command("/no/such/emulator"), &log, nil); err == nil {
		t.Error("an emulator that does not start must be an error")
	}
}

func TestReport(t *testing.T) {
	good := outcome{row: testRow, console: follow(strings.NewReader(goodConsole), func(plan.JobResult) {}), logs: []string{"good.log"}}
	bad := outcome{row: Row{Name: "other"}, surprises: []string{"first", "second"}, logs: []string{"bad.log"}}
	var out strings.Builder
	if got := report(&out, []outcome{good, bad}); got != 1 {
		t.Errorf("report counts %d bad rows, want 1", got)
	}
	for _, want := range []string{"6.1.0-50-cloud-arm64", "1/1", "first", "second", "bad.log", "SURPRISE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "good.log") {
		t.Error("the log of a good row is of no interest")
	}
	out.Reset()
	unreachable := []string{"the mirror does not answer"}
	report(&out, []outcome{{row: Row{Name: "a"}, surprises: unreachable}, {row: Row{Name: "b"}, surprises: unreachable}})
	if strings.Count(out.String(), unreachable[0]) != 1 || !strings.Contains(out.String(), "the same as a") || strings.Contains(out.String(), "log:") {
		t.Errorf("two rows without a kernel give\n%s", out.String())
	}
}
