package main

import (
	"path/filepath"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/mutants/derive"
)

// TestReasonsNameMutants demands that each mutant that is listed as equal exists: when
// its function is changed, whoever has done so says whether the reason still holds.
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
