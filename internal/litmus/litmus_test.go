package litmus

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// notBroken are tests that must be Never and have no broken one, with the reason.
var notBroken = map[string]string{
	"amd64-resume":                    "amd64 keeps loads and stores in order",
	"amd64-resume-slot":               "amd64 keeps loads and stores in order",
	"amd64-handover":                  "amd64 keeps loads and stores in order",
	"amd64-span-record-next-unlocked": "amd64 keeps stores in order; the class is what breaks",
	"fallback-before":                 "fallback-without-fence is that of all places",
	"fallback-behind":                 "fallback-without-fence is that of all places",
	"fallback-lse":                    "fallback-without-fence is that of all places",
	"handover-llsc":                   "handover-without-barrier is that of both",
	"transfer-llsc":                   "transfer-without-release is that of both",
	"resume-end":                      "resume-without-dependency is that of the whole header",
}

// TestVerdicts checks each test in the model of this package.
func TestVerdicts(t *testing.T) {
	for _, l := range readTests(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			if len(l.comment) < 20 {
				t.Errorf("the comment says too little: %q", l.comment)
			}
			can, canFail, err := l.happens()
			if err != nil {
				t.Fatal(err)
			}
			got := "Never"
			if can {
				got = "Sometimes"
			}
			if got != l.verdict || !canFail {
				t.Errorf("%s, want %s; it can fail to happen: %t", got, l.verdict, canFail)
			}
		})
	}
}

// TestEachTestIsBroken demands a broken test for each that must be Never.
func TestEachTestIsBroken(t *testing.T) {
	tests, broken := make(map[string]*litmusTest), make(map[string]bool)
	for _, l := range readTests(t) {
		tests[l.name] = l
		broken[l.breaks] = true
	}
	for name, l := range tests {
		reason, excused := notBroken[name]
		if l.verdict == "Never" && broken[name] == excused {
			t.Errorf("%s has a broken test: %t; why it needs none: %q", name, broken[name], reason)
		}
		if whole := tests[l.breaks]; l.breaks != "" && (whole == nil || whole.verdict != "Never" || l.verdict != "Sometimes") {
			t.Errorf("%s breaks %s", name, l.breaks)
		}
	}
	for name := range notBroken {
		if tests[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestPageNamesTheTests: what must be Never is why some pair of docs/memory-order.md is
// ordered.
func TestPageNamesTheTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/memory-order.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range readTests(t) {
		name := regexp.MustCompile(`[ (]` + l.name + `[ ,.)]`)
		if l.verdict == "Never" && !name.Match(page) {
			t.Errorf("docs/memory-order.md does not name %s", l.name)
		}
	}
}

// TestHerd checks each test with herd7, which knows all of both
// memory models.
func TestHerd(t *testing.T) {
	herd, err := exec.LookPath("herd7")
	if err != nil {
		t.Skip("herd7 is not installed")
	}
	for _, l := range readTests(t) {
		output, err := exec.Command(herd, l.path).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", l.name, err, output)
			continue
		}
		got := ""
		for line := range strings.Lines(string(output)) {
			if rest, ok := strings.CutPrefix(line, "Observation "+l.name+" "); ok {
				got, _, _ = strings.Cut(rest, " ")
			}
		}
		if got != l.verdict {
			t.Errorf("%s: %q, want %s\n%s", l.name, got, l.verdict, output)
		}
	}
}
