//go:build (amd64 || arm64) && !race

// The program is built without the race detector, so under it nothing is other
// than without.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// build builds the program and returns its path. An empty overlay is none.
func build(t *testing.T, cgo, overlay string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stepper")
	command := exec.Command("go", "build", "-buildvcs=false", "-overlay="+overlay, "-o", path, ".")
	command.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOWORK=off")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
	return path
}

// step runs the program and returns its report, and whether it found no fault.
func step(t *testing.T, path string, flags ...string) (report string, right bool) {
	t.Helper()
	ctx := stress.Context(t)
	output, err := exec.CommandContext(ctx, path, flags...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("not done when the time of go test is up:\n%s", output)
	}
	return string(output), err == nil
}

var totalText = regexp.MustCompile(`in mode \S+ by \S+: +(\d+) instructions, +(\d+) aborted, +(\d+) right`)

// TestWaysOf: a name selects one way to interrupt, and a wrong one none.
func TestWaysOf(t *testing.T) {
	all, err := waysOf("")
	if err != nil || len(all) != int(interruptionCount) {
		t.Errorf("%v, %v", all, err)
	}
	if one, err := waysOf("intrusion"); err != nil || len(one) != 1 || one[0] != intrusion {
		t.Errorf("intrusion: %v, %v", one, err)
	}
	if _, err := waysOf("intrusions"); err == nil {
		t.Error("an unknown name must be an error")
	}
}

// TestEveryInstruction runs the program on areas of ours and on those of libc.
func TestEveryInstruction(t *testing.T) {
	for _, way := range []struct{ name, cgo, owner string }{{"static", "0", "self"}, {"cgo", "1", "libc"}} {
		t.Run(way.name, func(t *testing.T) {
			if way.cgo == "1" {
				needCompiler(t)
			}
			report, right := step(t, build(t, way.cgo, ""))
			t.Logf("\n%s", report)
			if !right {
				t.Fatal("a section does not do what it must when it is interrupted")
			}
			if strings.Contains(report, errRefused.Error()) || strings.Contains(report, "no section runs here") {
				return // the report says why
			}
			for _, mode := range []string{"mm_cid", "cpu_id"} {
				stepped := strings.Contains(report, mode+", areas of "+way.owner)
				if totals := totalText.FindAllStringSubmatch(report, -1); stepped && len(totals) == 0 {
					t.Error("the report has no total")
				} else {
					for _, total := range totals {
						if total[1] != total[2] || total[1] != total[3] {
							t.Errorf("the totals differ: %q", total[0])
						}
					}
				}
				if said := strings.Contains(report, mode+" does not run here"); stepped == said {
					t.Errorf("%s with areas of %s: stepped %v", mode, way.owner, stepped)
				}
			}
		})
	}
}

// needCompiler skips the test where no C program can be built.
func needCompiler(t *testing.T) {
	t.Helper()
	output, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := strings.Fields(string(output))[0]
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("there is no C compiler: %v", err)
	}
}
