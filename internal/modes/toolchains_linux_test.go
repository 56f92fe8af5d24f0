//go:build amd64 || arm64

package modes

import (
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// toolchainsVariable holds a list of toolchains to build with, such as
// "go1.25 go1.27.4"; go1.25 stands for its newest patch. The go command
// downloads what it does not have.
const toolchainsVariable = "VCPUALLOC_TOOLCHAINS"

// everyRowVariable, if it is not empty, adds the rows whose builds take long.
const everyRowVariable = "VCPUALLOC_EVERY_ROW"

// TestToolchains builds with other toolchains: the spare thread word, the offset
// of g.m and the calling convention are no part of Go's promise.
func TestToolchains(t *testing.T) {
	toolchainRows := []row{
		{name: "static", program: "static", want: self},
		{name: "static, cpu_id", program: "static", env: []string{"VCPUALLOC_MODE=cpu_id"}, want: capped(self, vcpu.CPUID)},
		{name: "static, assigned", program: "static", env: []string{"VCPUALLOC_MODE=assigned"}, want: capped(self, vcpu.Assigned)},
		{name: "cgo", program: "cgo", want: libc},
	}
	if os.Getenv(everyRowVariable) != "" {
		toolchainRows = append(toolchainRows,
			row{name: "pie", program: "pie", need: needLoader, want: self},
			row{name: "unoptimised", program: "unoptimised", want: self},
			row{name: "race", program: "race", want: libc},
			row{name: "c-shared", program: "c-shared", lent: true, want: libc})
	}
	for _, wanted := range strings.Fields(os.Getenv(toolchainsVariable)) {
		toolchain, err := getToolchain(wanted)
		if err != nil {
			t.Run(wanted, func(t *testing.T) {
				t.Skipf("NOT TESTED with %s, which cannot be downloaded: %v", wanted, err)
			})
			continue
		}
		for _, base := range toolchainRows {
			t.Run(toolchain+"/"+base.name, func(t *testing.T) {
				p := programs[base.program]
				p.env = append(slices.Clone(p.env), "GOTOOLCHAIN="+toolchain)
				base.build = &p
				if got := checkRow(t, base); got.Go != toolchain {
					t.Errorf("built with %s", got.Go)
				}
			})
		}
	}
}

// getToolchain downloads the toolchain of that name and returns its full name.
func getToolchain(name string) (string, error) {
	if strings.Count(name, ".") < 2 {
		out, err := exec.Command("go", "list", "-m", "-versions", "golang.org/toolchain").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go list -m -versions golang.org/toolchain: %w\n%s", err, out)
		}
		newest := newestPatch(name, string(out))
		if newest == "" {
			return "", fmt.Errorf("the module proxy has no toolchain of %s for this system", name)
		}
		name = newest
	}
	command := exec.Command("go", "version")
	command.Env = append(environment(), "GOTOOLCHAIN="+name)
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("GOTOOLCHAIN=%s go version: %w\n%s", name, err, out)
	}
	return name, nil
}

// newestPatch returns the newest release of a language version among the
// versions of module golang.org/toolchain, such as v0.0.1-go1.25.3.linux-amd64.
func newestPatch(language, list string) (newest string) {
	for _, field := range strings.Fields(list) {
		name, here := strings.CutSuffix(field, "."+runtime.GOOS+"-"+runtime.GOARCH)
		name, found := strings.CutPrefix(name, "v0.0.1-")
		released := !strings.Contains(name, "rc") && !strings.Contains(name, "beta")
		if here && found && released && version.Lang(name) == language && version.Compare(name, newest) > 0 {
			newest = name
		}
	}
	return newest
}

func TestNewestPatch(t *testing.T) {
	list := "golang.org/toolchain"
	for _, name := range []string{"go1.25.9", "go1.25.14", "go1.25.2", "go1.25rc3", "go1.26.1", "go1.27rc1"} {
		list += " v0.0.1-" + name + "." + runtime.GOOS + "-" + runtime.GOARCH
	}
	list += " v0.0.1-go1.25.99.plan9-386"
	for language, want := range map[string]string{"go1.25": "go1.25.14", "go1.26": "go1.26.1", "go1.27": "", "go1.24": ""} {
		if got := newestPatch(language, list); got != want {
			t.Errorf("%s: %q, want %q", language, got, want)
		}
	}
}
