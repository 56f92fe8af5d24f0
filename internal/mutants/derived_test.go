package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/mutants/derive"
)

// TestReasonsNameMutants demands that each mutant that is listed as equal exists: when
// its function is changed, the author of the change says whether the reason still holds.
func TestReasonsNameMutants(t *testing.T) {
	reasons, err := readReasons()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	folders := []string{"alloc", "arena"}
	packages, _, err := derive.Load(root, folders)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, p := range packages {
		for _, m := range p.Mutants {
			names[m.Name] = true
		}
	}
	for name := range reasons {
		if !names[name] {
			t.Errorf("%q is listed as equal, but there is no such mutant", name)
		}
	}
}

func TestParseReasons(t *testing.T) {
	reasons := make(map[string]string)
	text := "# a comment\nfirst\n\tIt is\n\tslower.\n\nsecond\nthird\n\tThe same.\n"
	if err := parseReasons(text, reasons); err != nil {
		t.Fatal(err)
	}
	if len(reasons) != 3 || reasons["first"] != "It is slower." || reasons["second"] != "The same." || reasons["third"] != "The same." {
		t.Errorf("%q", reasons)
	}
	for _, wrong := range []string{"first\n", "a\n\tx\na\n\ty\n"} {
		if err := parseReasons(wrong, make(map[string]string)); err == nil {
			t.Errorf("no error for %q", wrong)
		}
	}
}

// TestChangedSince: the mutants on lines that differ from a revision are chosen, also those
// of statements that only end there.
func TestChangedSince(t *testing.T) {
	root := t.TempDir()
	git := func(arguments ...string) {
		t.Helper()
		command := exec.Command("git", append([]string{"-C", root, "-c", "user.name=test", "-c", "user.email=test@localhost"}, arguments...)...)
		if output, err := command.CombinedOutput(); err != nil {
			t.Skipf("git: %v\n%s", err, output)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, "a"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "a", "a.go"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	write("1\n2\n3\n4\n5\n6\n7\n8\n")
	git("add", ".")
	git("commit", "-q", "-m", "first")
	write("1\n2\n3 changed\n4\n5\n6\nnew\nnew\n7\n") // 8 is gone
	changed, err := changedSince(t.Context(), root, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range []bool{1: false, 2: false, 3: true, 4: false, 6: false, 7: true, 8: true, 9: false} {
		if line == 0 || line == 5 {
			continue
		}
		if got := changed(derive.Mutant{File: "a/a.go", Line: line, End: line}); got != want {
			t.Errorf("line %d is changed: %v", line, got)
		}
	}
	if !changed(derive.Mutant{File: "a/a.go", Line: 1, End: 3}) || changed(derive.Mutant{File: "a/a.go", Line: 4, End: 6}) || changed(derive.Mutant{File: "b/a.go", Line: 3, End: 3}) {
		t.Error("statements of several lines, or of another file, are chosen by their first line")
	}
	if _, err := changedSince(t.Context(), root, "nowhere"); err == nil {
		t.Error("there is a revision nowhere")
	}
}

// TestResultsGoOn: what a run has written, the next one reads, the last outcome of each.
func TestResultsGoOn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results")
	for _, verdict := range []verdict{alive, killed} {
		results, err := openResults(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []outcome{{Name: "a", Verdict: verdict, Code: "1"}, {Name: "b", Verdict: notCovered}} {
			if err := results.add(o); err != nil {
				t.Fatal(err)
			}
		}
		results.close()
	}
	found, err := readResults(name)
	if err != nil || len(found) != 2 || found["a"].Verdict != killed || found["a"].Code != "1" || found["b"].Verdict != notCovered {
		t.Errorf("%+v, %v", found, err)
	}
	for _, missing := range []string{"", name + "2"} {
		if found, err := readResults(missing); err != nil || len(found) != 0 {
			t.Errorf("%+v, %v", found, err)
		}
	}
}
