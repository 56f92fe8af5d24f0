package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStandardJobs(t *testing.T) {
	specs, err := parseJobs("../..", nil)
	if err != nil || len(specs) == 0 {
		t.Fatalf("%d jobs, %v", len(specs), err)
	}
	for _, spec := range specs {
		if files, err := filepath.Glob(filepath.Join(spec.path, "*_test.go")); err != nil || len(files) == 0 {
			t.Errorf("job %q: %s has no tests, %v", spec.name, spec.path, err)
		}
	}
	specs, err = parseJobs("../..", []string{"A=1 ./file"})
	if err != nil || len(specs) != 1 || specs[0].path != "./file" {
		t.Errorf("a job of the command line gives %+v, %v", specs, err)
	}
	if _, err := parseJobs("../..", []string{"./file", "test:"}); err == nil {
		t.Error("a job that cannot be read must be an error")
	}
}

func TestParseJob(t *testing.T) {
	for text, want := range map[string]jobSpec{
		"test:./vcpu": {kind: testPackage, path: "./vcpu"},
		"A=1 B=x=y cmd:./examples/vcpuinfo -json": {kind: mainPackage, path: "./examples/vcpuinfo", env: []string{"A=1", "B=x=y"}, arguments: []string{"-json"}},
		"test[a,b]:./rseqcs":                      {kind: testPackage, tags: "a,b", path: "./rseqcs"},
		"./file -test.run=One":                    {kind: executable, path: "./file", arguments: []string{"-test.run=One"}},
	} {
		got, err := parseJob(text)
		if err != nil || got.kind != want.kind || got.path != want.path || got.tags != want.tags || got.name != text ||
			strings.Join(got.env, " ") != strings.Join(want.env, " ") || strings.Join(got.arguments, " ") != strings.Join(want.arguments, " ") {
			t.Errorf("parseJob(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "A=1", "test:", "cmd: x", "cmd[a]:"} {
		if spec, err := parseJob(text); err == nil {
			t.Errorf("parseJob(%q) = %+v; want an error", text, spec)
		}
	}
}

func TestCheckExecutable(t *testing.T) {
	if _, err := checkExecutable("rows.txt", "amd64"); err == nil {
		t.Error("a text file must not pass for an executable")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if fits, err := checkExecutable(self, "no such architecture"); fits {
		t.Errorf("checkExecutable = %v, %v for another architecture", fits, err)
	}
}

func TestEnvironment(t *testing.T) {
	for text, want := range map[string]string{
		"x":                         "VCPUALLOC_EXPECT_MODE=cpu_id",
		"A=1 x":                     "VCPUALLOC_EXPECT_MODE=cpu_id A=1",
		"A=1 VCPUALLOC_MODE=odd x":  "A=1 VCPUALLOC_MODE=odd",
		"VCPUALLOC_MODE_MORE=yes x": "VCPUALLOC_EXPECT_MODE=cpu_id VCPUALLOC_MODE_MORE=yes",
	} {
		spec, err := parseJob(text)
		if got := strings.Join(environment(spec, testRow), " "); err != nil || got != want {
			t.Errorf("job %q gets %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestJobIsForRows(t *testing.T) {
	for text, want := range map[string]string{
		"x":                       "amd64-6.1 arm64-6.1 arm64-7.3-numa",
		"on=arm64-* x":            "arm64-6.1 arm64-7.3-numa",
		"A=1 on=!*-numa B=2 x":    "amd64-6.1 arm64-6.1",
		"on=amd64-6.1 x on=never": "amd64-6.1",
		"on=amd64-6.1,*-numa x":   "amd64-6.1 arm64-7.3-numa",
		"on=!amd64-6.1,*-numa x":  "arm64-6.1",
	} {
		spec, err := parseJob(text)
		var names []string
		for _, name := range []string{"amd64-6.1", "arm64-6.1", "arm64-7.3-numa"} {
			if spec.isFor(Row{Name: name}) {
				names = append(names, name)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("job %q runs on %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"on=[ x", "on=a,[ x"} {
		if _, err := parseJob(text); err == nil {
			t.Errorf("%q: a pattern that cannot be read must be an error", text)
		}
	}
}
