package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// jobKind says what a job's program is made of.
type jobKind int

const (
	executable  jobKind = iota // a file as it is
	mainPackage                // a folder, built by go build
	testPackage                // a folder, built by go test -c
)

// jobSpec is one job as given on the command line.
type jobSpec struct {
	name      string
	kind      jobKind
	path      string // file or folder, on this machine
	arguments []string
	env       []string
}

// parseJob reads "NAME=VALUE… PROGRAM ARGUMENT…"; doc.go has the forms.
func parseJob(text string) (jobSpec, error) {
	spec := jobSpec{name: text}
	words := strings.Fields(text)
	for len(words) > 0 && strings.Contains(words[0], "=") {
		spec.env = append(spec.env, words[0])
		words = words[1:]
	}
	if len(words) == 0 {
		return jobSpec{}, fmt.Errorf("job %q has no program", text)
	}
	spec.path, spec.arguments = words[0], words[1:]
	if folder, ok := strings.CutPrefix(words[0], "test:"); ok {
		spec.kind, spec.path = testPackage, folder
	} else if folder, ok := strings.CutPrefix(words[0], "cmd:"); ok {
		spec.kind, spec.path = mainPackage, folder
	}
	if spec.path == "" {
		return jobSpec{}, fmt.Errorf("job %q names no folder", text)
	}
	return spec, nil
}

// builder builds jobs, each program once per architecture.
type builder struct {
	mutex    sync.Mutex
	folder   string // for the results
	tags     string
	niceness int
	built    map[string]string // by kind, folder and architecture
}

// build returns the path of an executable for the architecture.
func (b *builder) build(ctx context.Context, kind jobKind, folder, arch string) (string, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	key := fmt.Sprintf("%d %s %s", kind, folder, arch)
	if done, ok := b.built[key]; ok {
		return done, nil
	}
	out, err := filepath.Abs(filepath.Join(b.folder, fmt.Sprintf("%s-%d", arch, len(b.built))))
	if err != nil {
		return "", err
	}
	arguments := []string{"-n", fmt.Sprint(b.niceness), "go", "build"}
	if kind == testPackage {
		arguments = append(arguments[:2], "go", "test", "-c")
	}
	if b.tags != "" {
		arguments = append(arguments, "-tags", b.tags)
	}
	command := exec.CommandContext(ctx, "nice", append(arguments, "-o", out, ".")...)
	// From inside, since it may be of another module.
	command.Dir = folder
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
	if _, err := output(command); err != nil {
		return "", fmt.Errorf("build %s for %s: %w", folder, arch, err)
	}
	if _, err := os.Stat(out); err != nil {
		return "", fmt.Errorf("build %s for %s: the package has no tests", folder, arch)
	}
	b.built[key] = out
	return out, nil
}

// pack makes the jobs of one architecture ready for the initramfs. A file for
// another architecture is left out.
func (b *builder) pack(ctx context.Context, specs []jobSpec, arch string, seconds int) ([]packed, error) {
	var jobs []packed
	for i, spec := range specs {
		job := packed{binary: spec.path}
		switch spec.kind {
		case executable:
			fits, err := checkExecutable(spec.path, arch)
			if err != nil {
				return nil, err
			}
			if !fits {
				continue
			}
		default:
			built, err := b.build(ctx, spec.kind, spec.path, arch)
			if err != nil {
				return nil, err
			}
			job.binary = built
			testdata := filepath.Join(spec.path, "testdata")
			if info, err := os.Stat(testdata); err == nil && info.IsDir() {
				job.testdata = testdata
			}
		}
		folder := fmt.Sprintf("/jobs/%d", i)
		job.Job = plan.Job{
			Name: spec.name, Path: path.Join(folder, "run"), Args: spec.arguments, Env: spec.env, Dir: folder, Seconds: seconds,
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// checkExecutable reports whether a file is for the architecture. A file that
// needs a dynamic linker is an error: the guest has none.
func checkExecutable(name, arch string) (bool, error) {
	file, err := elf.Open(name)
	if err != nil {
		return false, fmt.Errorf("job %s: %w", name, err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return false, fmt.Errorf("job %s: not static; build it with CGO_ENABLED=0", name)
		}
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	return file.Machine == machines[arch], nil
}
