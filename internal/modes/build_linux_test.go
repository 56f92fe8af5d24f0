//go:build amd64 || arm64

package modes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
)

// program is a way to build one of the programs.
type program struct {
	folder    string // below this one
	arguments []string
	env       []string
	need      func(*testing.T) // ends or fails the test where it cannot be built
}

var programs = map[string]program{
	"static":          {folder: "probe", env: []string{"CGO_ENABLED=0"}},
	"pie":             {folder: "probe", env: []string{"CGO_ENABLED=0"}, arguments: []string{"-buildmode=pie"}},
	"stripped":        {folder: "probe", env: []string{"CGO_ENABLED=0"}, arguments: []string{"-ldflags=-s -w"}},
	"unoptimised":     {folder: "probe", env: []string{"CGO_ENABLED=0"}, arguments: []string{"-gcflags=all=-N -l"}},
	"newer CPU":       {folder: "probe", env: []string{"CGO_ENABLED=0", newerCPU()}},
	"cgo":             {folder: "cgoprobe", env: []string{"CGO_ENABLED=1"}, need: needCompiler},
	"race":            {folder: "probe", env: []string{"CGO_ENABLED=1"}, arguments: []string{"-race"}, need: needCompiler},
	"cgo static":      {folder: "cgoprobe", env: []string{"CGO_ENABLED=1"}, arguments: []string{"-ldflags=-linkmode external -extldflags -static"}, need: needStaticLibc},
	"cgo static bare": {folder: "cgoprobe", env: []string{"CGO_ENABLED=1"}, arguments: []string{"-ldflags=-s -w -linkmode external -extldflags -static"}, need: needStaticLibc},
	"deny":            {folder: "deny", env: []string{"CGO_ENABLED=0"}},
}

// builds holds the result of each way to build, by its text.
var builds struct {
	sync.Mutex
	folder string
	done   map[string]func() (string, error)
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "modes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.folder, builds.done = folder, make(map[string]func() (string, error))
	status := m.Run()
	os.RemoveAll(folder)
	os.Exit(status)
}

// build returns the executable of p, which is built once.
func build(t *testing.T, p program) string {
	t.Helper()
	if p.need != nil {
		p.need(t)
	}
	key := fmt.Sprintf("%s %q %q", p.folder, p.arguments, p.env)
	builds.Lock()
	once, ok := builds.done[key]
	if !ok {
		path := filepath.Join(builds.folder, fmt.Sprintf("%s-%d", p.folder, len(builds.done)))
		once = sync.OnceValues(func() (string, error) { return path, goBuild(p, path) })
		builds.done[key] = once
	}
	builds.Unlock()
	path, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func goBuild(p program, path string) error {
	arguments := append([]string{"build", "-buildvcs=false", "-o", path}, p.arguments...)
	command := exec.Command("go", append(arguments, "./"+p.folder)...)
	command.Env = append(environment(), append(p.env, "GOWORK=off")...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", strings.Join(p.env, " "), command, err, out)
	}
	return nil
}

// environment is the one of this process without what changes the mode or the
// runtime's behaviour.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return slices.Contains([]string{"VCPUALLOC_MODE", "GLIBC_TUNABLES", "GOMAXPROCS", "GODEBUG", "GOAMD64", "GOARM64"}, name)
	})
}

// runProgram runs an executable and returns its report.
func runProgram(t *testing.T, r row) report.Report {
	t.Helper()
	const patience = time.Minute
	command := exec.Command(build(t, programs[r.program]))
	if r.build != nil {
		command = exec.Command(build(t, *r.build))
	}
	if r.denied != nil {
		arguments := append(slices.Clone(r.denied), "--", command.Path)
		command = exec.Command(build(t, programs["deny"]), arguments...)
	}
	command.Env = append(environment(), r.env...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	start := command.Start
	if r.oneCPU {
		start = func() error { return onOneCPU(t, command.Start) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { command.Process.Kill() })
	err := command.Wait()
	if !timer.Stop() {
		t.Fatalf("%s has not ended after %v\n%s", command, patience, stderr.Bytes())
	}
	if err != nil {
		t.Errorf("%s: %v\n%s%s", command, err, stderr.Bytes(), stdout.Bytes())
	}
	var result report.Report
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, stderr.Bytes(), stdout.Bytes())
	}
	return result
}

// onOneCPU calls body, and what it starts may use one CPU only.
func onOneCPU(t *testing.T, body func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for id := 0; one.Count() == 0; id++ {
		if before.IsSet(id) {
			one.Set(id)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
	}()
	return body()
}
