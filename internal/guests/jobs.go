package main

import (
	"context"
	"debug/elf"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
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
	tags      string // build tags, separated by commas
	path      string // file or folder, on this machine
	arguments []string
	env       []string
	on        []string // patterns of the rows it is for, "!" before the first for the others; empty: all
}

// isFor reports whether the job is to run on a row.
func (s jobSpec) isFor(row Row) bool {
	if len(s.on) == 0 {
		return true
	}
	first, others := strings.CutPrefix(s.on[0], "!")
	for _, pattern := range append([]string{first}, s.on[1:]...) {
		if ok, _ := path.Match(pattern, row.Name); ok { // parseJob has checked the pattern
			return !others
		}
	}
	return others
}

//go:embed jobs.txt
var jobsText string

// standardJobs returns the jobs of jobs.txt, with their folders below root.
func standardJobs(root string) ([]jobSpec, error) {
	var specs []jobSpec
	for index, text := range strings.Split(jobsText, "\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		spec, err := parseJob(text)
		if err != nil {
			return nil, fmt.Errorf("jobs, line %d: %w", index+1, err)
		}
		spec.path = filepath.Join(root, spec.path)
		specs = append(specs, spec)
	}
	return specs, nil
}

// parseJobs returns the jobs of the command line, or the standard ones if it
// has none.
func parseJobs(root string, texts []string) ([]jobSpec, error) {
	if len(texts) == 0 {
		return standardJobs(root)
	}
	var specs []jobSpec
	for _, text := range texts {
		spec, err := parseJob(text)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// parseJob reads "[on=ROWS] NAME=VALUE… PROGRAM ARGUMENT…"; doc.go has the forms.
func parseJob(text string) (jobSpec, error) {
	spec := jobSpec{name: text}
	words := strings.Fields(text)
	for len(words) > 0 && strings.Contains(words[0], "=") {
		if patterns, ok := strings.CutPrefix(words[0], "on="); ok {
			spec.on = strings.Split(patterns, ",")
		} else {
			spec.env = append(spec.env, words[0])
		}
		words = words[1:]
	}
	for _, pattern := range spec.on {
		if _, err := path.Match(strings.TrimPrefix(pattern, "!"), ""); err != nil {
			return jobSpec{}, fmt.Errorf("job %q: %w", text, err)
		}
	}
	if len(words) == 0 {
		return jobSpec{}, fmt.Errorf("job %q has no program", text)
	}
	spec.path, spec.arguments = words[0], words[1:]
	match := buildForm.FindStringSubmatch(words[0])
	if match == nil {
		return spec, nil
	}
	spec.kind, spec.tags, spec.path = mainPackage, match[2], match[3]
	if match[1] == "test" {
		spec.kind = testPackage
	}
	if spec.path == "" {
		return jobSpec{}, fmt.Errorf("job %q names no folder", text)
	}
	return spec, nil
}

// buildForm is KIND:FOLDER or KIND[TAGS]:FOLDER.
var buildForm = regexp.MustCompile(`^(test|cmd)(?:\[([^\]]*)\])?:(.*)$`)

// builder builds jobs, each program once per architecture.
type builder struct {
	mutex    sync.Mutex
	folder   string // for the results
	niceness int
	built    map[string]string // by kind, tags, folder and architecture
}

// build returns the path of the job's executable for the architecture.
func (b *builder) build(ctx context.Context, spec jobSpec, arch string) (string, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	key := fmt.Sprintf("%d [%s] %s %s", spec.kind, spec.tags, spec.path, arch)
	if done, ok := b.built[key]; ok {
		return done, nil
	}
	out, err := filepath.Abs(filepath.Join(b.folder, fmt.Sprintf("%s-%d", arch, len(b.built))))
	if err != nil {
		return "", err
	}
	arguments := []string{"-n", fmt.Sprint(b.niceness), "go", "build"}
	if spec.kind == testPackage {
		arguments = append(arguments[:2], "go", "test", "-c")
	}
	if spec.tags != "" {
		arguments = append(arguments, "-tags", spec.tags)
	}
	command := exec.CommandContext(ctx, "nice", append(arguments, "-o", out, ".")...)
	// From inside, since it may be of another module.
	command.Dir = spec.path
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
	if _, err := output(command); err != nil {
		return "", fmt.Errorf("build %s for %s: %w", spec.path, arch, err)
	}
	if _, err := os.Stat(out); err != nil {
		return "", fmt.Errorf("build %s for %s: the package has no tests", spec.path, arch)
	}
	b.built[key] = out
	return out, nil
}

// modeVariable tells a job which mode the row expects. A job whose own
// environment caps the mode is not told.
const modeVariable = "VCPUALLOC_EXPECT_MODE"

func environment(spec jobSpec, row Row) []string {
	for _, one := range spec.env {
		if strings.HasPrefix(one, "VCPUALLOC_MODE=") {
			return spec.env
		}
	}
	return append([]string{modeVariable + "=" + row.Mode}, spec.env...)
}

// pack makes the jobs of a row ready for the initramfs. What is for other rows or
// for another architecture is left out.
func (b *builder) pack(ctx context.Context, specs []jobSpec, row Row, seconds int) ([]packed, error) {
	var jobs []packed
	for i, spec := range specs {
		if !spec.isFor(row) {
			continue
		}
		job := packed{binary: spec.path}
		switch spec.kind {
		case executable:
			fits, err := checkExecutable(spec.path, row.Arch)
			if err != nil {
				return nil, err
			}
			if !fits {
				continue
			}
		default:
			built, err := b.build(ctx, spec, row.Arch)
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
			Name: spec.name, Path: path.Join(folder, "run"), Args: spec.arguments, Env: environment(spec, row), Dir: folder, Seconds: seconds,
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
