//go:build !cgo

// The mutants are built without cgo in any case: once is enough.

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// TestMutants shows that the program can fail, and that it says where.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program once for each mutant, which takes half a minute: not in short mode")
	}
	if features := vcpu.Probe(); features.Mode == vcpu.Assigned {
		t.Logf("no section runs here: %s", features.Reason)
		return
	}
	for name, mutant := range map[string]struct {
		place       string // a regular expression
		replacement string
		complaint   string // what must be found, a regular expression
	}{
		"START removed": {
			`(?m)^\tSTART\(descriptor\); \\\n`, "",
			`pop.*signal.* \d+ instructions, +0 aborted, +0 right(?s:.*)it was not aborted`,
		},
		"the section ends one instruction behind COMMIT": {
			`(?m)^committed:\n`, "\tXORL R13, R13\ncommitted:\n",
			`XORL R13, R13.*: before the commit it changed`,
		},
		"the section ends one instruction before COMMIT": {
			`(?m)^(\tMOVL  ?R11, .*COMMIT)\ncommitted:\n`, "committed:\n$1\n",
			`behind the commit nothing has taken effect`,
		},
		"the restart does not announce itself": {
			`\tJNE  again; `, "\tJNE  start; ",
			`signal.*: .*at the abort label, want 2`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			report, right := step(t, build(t, "0", mutate(t, mutant.place, mutant.replacement)), "-highest")
			if strings.Contains(report, errRefused.Error()) {
				t.Log(report)
				return
			}
			if right || !regexp.MustCompile(mutant.complaint).MatchString(report) {
				t.Errorf("the mutant survives, or no complaint is %q:\n%s", mutant.complaint, report)
			}
			complaints := regexp.MustCompile("(?m)^.*WRONG.*$").FindAllString(report, 3)
			t.Logf("for example\n%s", strings.Join(complaints, "\n"))
		})
	}
}

// mutate returns an overlay in which the text of the sections is another one.
// The go tool overlays no header, so the headers are put in where they are
// included.
func mutate(t *testing.T, place, replacement string) (overlay string) {
	t.Helper()
	folder, err := filepath.Abs("../../rseqcs")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	sections := read("sections_amd64.h")
	mutated := regexp.MustCompile(place).ReplaceAllString(sections, replacement)
	if mutated == sections {
		t.Fatalf("no %q in the text of the sections", place)
	}
	variants := strings.ReplaceAll(read("variants_amd64.h"), `#include "sections_amd64.h"`, mutated)
	const name = "sections_linux_amd64.s"
	whole := strings.Replace(read(name), `#include "variants_amd64.h"`, variants, 1)
	to, overlay := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), "overlay.json")
	content, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(folder, name): to}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{to: whole, overlay: string(content)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
