package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build compiles vcpuinfo as a user does, with the test's own CGO_ENABLED.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "vcpuinfo")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// run runs the binary with VCPUALLOC_MODE as given and returns its output. Any
// exit code but 0 fails the test.
func run(t *testing.T, binary, mode string, args ...string) string {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Env = append(os.Environ(), "VCPUALLOC_MODE="+mode)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("vcpuinfo %v with VCPUALLOC_MODE=%q: %v\n%s", args, mode, err, stderr.String())
	}
	return string(out)
}

func runJSON(t *testing.T, binary, mode string) report {
	t.Helper()
	out := run(t, binary, mode, "-json")
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	var r report
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("vcpuinfo -json printed %q: %v", out, err)
	}
	return r
}

func TestJSONIsConsistent(t *testing.T) {
	r := runJSON(t, build(t), "")
	if modeMeanings[r.Mode] == "" {
		t.Errorf("mode is %q, want mm_cid, cpu_id or assigned", r.Mode)
	}
	if ownerMeanings[r.Owner] == "" {
		t.Errorf("owner is %q, want self, libc or none", r.Owner)
	}
	if (r.Mode == "mm_cid") != (r.Reason == "") {
		t.Errorf("mode %s with reason %q: there is a reason exactly if the mode is not the highest", r.Mode, r.Reason)
	}
	if r.Current < 0 || r.Current >= r.Max {
		t.Errorf("current is %d, want one in [0, %d)", r.Current, r.Max)
	}
	if r.Size > r.KernelSize || r.Size > r.Registered {
		t.Errorf("size is %d, more than the kernel's %d or the %d registered", r.Size, r.KernelSize, r.Registered)
	}
	if r.KernelRelease == "" || r.CPUModel == "" || r.LogicalCores < 1 || r.GoVersion == "" {
		t.Errorf("the machine is not described: %+v", r)
	}
}

func TestKeysAreStable(t *testing.T) {
	var keys map[string]any
	if err := json.Unmarshal([]byte(run(t, build(t), "", "-json")), &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields(`mode reason owner kernel_size kernel_align registered size fence
		current max node os architecture kernel_release cpu_model logical_cores go_version cgo_enabled`) {
		if _, ok := keys[key]; !ok {
			t.Errorf("no key %q in the JSON; programs rely on it", key)
		}
	}
}

func TestModeIsCapped(t *testing.T) {
	binary := build(t)
	r := runJSON(t, binary, "assigned")
	if r.Mode != "assigned" || !strings.Contains(r.Reason, "VCPUALLOC_MODE") {
		t.Errorf("with VCPUALLOC_MODE=assigned: mode %q, reason %q; want assigned, and the variable as the reason", r.Mode, r.Reason)
	}
	if r := runJSON(t, binary, "cpu_id"); r.Mode == "mm_cid" {
		t.Errorf("with VCPUALLOC_MODE=cpu_id the mode is mm_cid, above the cap")
	}
	if r := runJSON(t, binary, "fastest"); !strings.Contains(r.Reason, "fastest") {
		t.Errorf("with VCPUALLOC_MODE=fastest, which is no mode, the reason %q does not say so", r.Reason)
	}
}

func TestWordsNameModeAndReason(t *testing.T) {
	out := run(t, build(t), "assigned")
	for _, want := range []string{"mode", "assigned", "why", "VCPUALLOC_MODE", "rseq owner", "kernel", "logical cores"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not mention %q:\n%s", want, out)
		}
	}
}
