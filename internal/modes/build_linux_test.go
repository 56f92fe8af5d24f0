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

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// program is a way to build one of the programs.
type program struct {
	folder    string // below this one
	arguments []string
	env       []string
	host      []string         // arguments of the C compiler, for the C program around a library
	edit      *edit            // of the source, for this build only
	need      func(*testing.T) // ends or fails the test where it cannot be built
}

const (
	external = "-ldflags=-linkmode external"
	static   = "-ldflags=-linkmode external -extldflags -static"
)

var (
	pure  = []string{"CGO_ENABLED=0"}
	withC = []string{"CGO_ENABLED=1"}
	musl  = []string{"CGO_ENABLED=1", "CC=musl-gcc"}
)

var programs = map[string]program{
	"static":           {folder: "probe", env: pure},
	"pie":              {folder: "probe", env: pure, arguments: []string{"-buildmode=pie"}},
	"stripped":         {folder: "probe", env: pure, arguments: []string{"-ldflags=-s -w"}},
	"unoptimised":      {folder: "probe", env: pure, arguments: []string{"-gcflags=all=-N -l"}},
	"oldest CPU":       {folder: "probe", env: []string{"CGO_ENABLED=0", oldestCPU()}},
	"newer CPU":        {folder: "probe", env: []string{"CGO_ENABLED=0", newerCPU()}},
	"race":             {folder: "probe", env: withC, arguments: []string{"-race"}, need: needCompiler},
	"cgo":              {folder: "cgoprobe", env: withC, need: needCompiler},
	"asan":             {folder: "cgoprobe", env: withC, arguments: []string{"-asan"}, need: needASan},
	"cgo static":       {folder: "cgoprobe", env: withC, arguments: []string{static}, need: needStaticLibc},
	"cgo static bare":  {folder: "cgoprobe", env: withC, arguments: []string{"-ldflags=-s -w -linkmode external -extldflags -static"}, need: needStaticLibc},
	"musl":             {folder: "cgoprobe", env: musl, arguments: []string{external}, need: needMusl},
	"musl static":      {folder: "cgoprobe", env: musl, arguments: []string{static}, need: needMusl},
	"c-shared":         {folder: "library", env: withC, arguments: []string{"-buildmode=c-shared"}, host: []string{}, need: needCompiler},
	"c-shared, dlopen": {folder: "library", env: withC, arguments: []string{"-buildmode=c-shared"}, host: []string{"-DLOAD"}, need: needCompiler},
	"c-archive":        {folder: "library", env: withC, arguments: []string{"-buildmode=c-archive"}, host: []string{}, need: needCompiler},
	"c-archive static": {folder: "library", env: withC, arguments: []string{"-buildmode=c-archive"}, host: []string{"-static"}, need: needStaticLibc},
	"plugin":           {folder: "plugin", env: withC, arguments: []string{"-buildmode=plugin"}, need: needCompiler},
	"plugin's host":    {folder: "pluginhost", env: withC, need: needCompiler},
	"deny":             {folder: "deny", env: pure},
}

// builds holds the result of each way to build, by its text.
var builds struct {
	sync.Mutex
	folder string
	done   map[string]func() (string, error)
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp(os.Getenv("GOTMPDIR"), "modes-") // where go test runs its programs
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
	key := fmt.Sprintf("%s %q %q %q %v", p.folder, p.arguments, p.env, p.host, p.edit)
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
	arguments := []string{"build", "-buildvcs=false", "-o", path}
	if p.host != nil {
		arguments[3] = path + ".so" // for the linker, which takes an archive under this name, too
	}
	arguments = append(arguments, p.arguments...)
	if p.edit != nil {
		overlay, err := p.edit.overlay(path)
		if err != nil {
			return err
		}
		arguments = append(arguments, "-overlay="+overlay)
	}
	environment := append(environment(), append(p.env, "GOWORK=off")...)
	if err := runBuild(environment, "go", append(arguments, "./"+p.folder)...); err != nil || p.host == nil {
		return err
	}
	compiler, err := compilerName()
	if err != nil {
		return err
	}
	library := path + ".so"
	arguments = []string{"-Wall", "-Werror", "-o", path, "host/host.c", "-pthread", "-ldl"}
	if slices.Contains(p.host, "-DLOAD") {
		return runBuild(environment, compiler, append(arguments, fmt.Sprintf("-DLIBRARY=%q", library))...)
	}
	return runBuild(environment, compiler, append(arguments, append(p.host, library, "-Wl,-rpath,"+filepath.Dir(library))...)...)
}

func runBuild(environment []string, name string, arguments ...string) error {
	command := exec.Command(name, arguments...)
	command.Env = environment
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return nil
}

// environment is the one of this process without what changes the mode or the
// runtime's behaviour.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return slices.Contains([]string{"VCPUALLOC_MODE", "GLIBC_TUNABLES", "GOMAXPROCS", "GODEBUG", "GOAMD64", "GOARM64", "CC"}, name)
	})
}

// runProgram runs an executable and returns its report.
func runProgram(t *testing.T, r row) report.Report {
	t.Helper()
	p := programs[r.program]
	if r.build != nil {
		p = *r.build
	}
	arguments := append([]string{build(t, p)}, r.arguments...)
	if r.plugin != "" {
		arguments = append(arguments, build(t, programs[r.plugin]))
	}
	if r.denied != nil {
		arguments = slices.Concat([]string{build(t, programs["deny"])}, r.denied, []string{"--"}, arguments)
	}
	command := exec.CommandContext(stress.Context(t), arguments[0], arguments[1:]...)
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
	if err := command.Wait(); err != nil {
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
