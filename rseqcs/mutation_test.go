//go:build linux && (amd64 || arm64)

package rseqcs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// TestMutantsDie shows that the stalled test can fail: it runs it on copies of
// the module in which the sections are broken, and demands that it finds a lost
// or doubled token. A mutant that dies of anything else proves nothing.
func TestMutantsDie(t *testing.T) {
	if stalled {
		return // the run inside of a mutant
	}
	if vcpu.Probe().Mode == vcpu.Assigned {
		t.Logf("no sections run here: %s", vcpu.Probe().Reason)
		return
	}
	sectionText := "sections_" + runtime.GOARCH + ".h"
	for name, mutant := range map[string]struct {
		file    string
		removed *regexp.Regexp
	}{
		// The kernel never hears of a section.
		"START removed": {sectionText, regexp.MustCompile(`(?m)^\tSTART\(descriptor\); \\\n`)},
		// Drain works on slabs while sections are inside.
		"stop removed": {"drain.go", regexp.MustCompile(`(?m)^\tfenced := (?:.*\n)+?\t}\n`)},
	} {
		t.Run(name, func(t *testing.T) {
			root := copyModule(t)
			path := filepath.Join(root, "rseqcs", mutant.file)
			code, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if found := mutant.removed.FindAll(code, -1); len(found) != 1 {
				t.Fatalf("%d places to mutate", len(found))
			}
			if err := os.WriteFile(path, mutant.removed.ReplaceAll(code, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			// On a busy machine the two threads that would show it may not run at
			// the same time, so a mutant that survives is tried again.
			var output string
			for try := 0; try < mutantTries && err == nil; try++ {
				output, err = runStalled(root)
			}
			switch {
			case err == nil:
				t.Errorf("the mutant survives:\n%s", output)
			case !strings.Contains(output, "conservation:"):
				t.Errorf("the mutant dies of something else: %v\n%s", err, output)
			}
		})
	}
}

// mutantTries bounds the runs of a mutant; most die in the first.
const mutantTries = 6

// runStalled runs the conservation tests of the stalled build in a copy.
func runStalled(root string) (output string, err error) {
	command := exec.Command("go", "test", "-tags=vcpualloc_stalled", "-run=^Test(Stack|Drain)Conserves$", "-count=1", "./rseqcs")
	command.Dir = root
	command.Env = append(os.Environ(), "GOWORK=off")
	combined, err := command.CombinedOutput()
	return string(combined), err
}

// copyModule copies the packages of the module that rseqcs is made of.
func copyModule(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, part := range []string{"go.mod", "go.sum", "vcpu", "rseqcs", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", part), func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			target := filepath.Join(root, strings.TrimPrefix(path, ".."))
			if entry.IsDir() {
				return os.MkdirAll(target, 0o700)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, content, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}
