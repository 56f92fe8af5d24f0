package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// guestArch is the architecture of the mutants that a guest runs.
const guestArch = "arm64"

const (
	guestSeconds = 180  // for one test program; the slowest takes about 15
	guestMemory  = 2048 // MiB; the programs lie in it
	perBoot      = 60   // test programs that fit in
)

// guestJob is one test program of one mutant, or of none.
type guestJob struct {
	mutant int // index, -1 for the sources as they are
	killer string
	text   string // as the command guests takes it; empty if the mutant does not build
	result *plan.JobResult
	death  death
}

// huntInGuest tries all mutants in guests: first each with its best killer, then
// those that are alive with the next one, and so on.
func (r *runner) huntInGuest(ctx context.Context, mutants []mutant) ([]fate, error) {
	fates := make([]fate, len(mutants))
	for i, m := range mutants {
		fates[i].mutant = m
		texts, at, err := m.change(r.root)
		if err != nil {
			return nil, err
		}
		fates[i].at, fates[i].texts = at, texts
	}
	sound := make(map[string]bool)
	for round := 0; ; round++ {
		var jobs []*guestJob
		more := false
		for i, f := range fates {
			if f.death.killed || f.err != nil || round >= len(f.mutant.killers) {
				continue
			}
			more = true
			name := f.mutant.killers[round]
			if killers[name].cgo || killers[name].program {
				continue
			}
			jobs = append(jobs, &guestJob{mutant: i, killer: name})
			if !sound[name] {
				sound[name] = true
				jobs = append(jobs, &guestJob{mutant: -1, killer: name})
			}
		}
		if !more {
			break
		}
		if err := r.guestRound(ctx, jobs, fates); err != nil {
			return nil, err
		}
	}
	for i := range fates {
		r.tell(fates[i])
	}
	return fates, nil
}

// guestRound builds the jobs, runs them in a few guests, and notes the fates.
func (r *runner) guestRound(ctx context.Context, jobs []*guestJob, fates []fate) error {
	began := time.Now()
	err := r.parallelly(len(jobs), func(i int) error {
		var texts map[string]string
		if jobs[i].mutant >= 0 {
			texts = fates[jobs[i].mutant].texts
		}
		err := jobs[i].build(ctx, r, texts)
		if errors.Is(err, errBuild) && texts != nil {
			fates[jobs[i].mutant].err = err
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	jobs = slices.DeleteFunc(jobs, func(j *guestJob) bool { return j.text == "" })
	r.progress("%d test programs for %s are built, %.0f s", len(jobs), guestArch, time.Since(began).Seconds())
	for from := 0; from < len(jobs); from += perBoot {
		some := jobs[from:min(from+perBoot, len(jobs))]
		if err := r.boot(ctx, some); err != nil {
			return err
		}
		for _, job := range some {
			if job.mutant >= 0 && job.result != nil {
				f := &fates[job.mutant]
				f.took += time.Duration(job.result.Seconds * float64(time.Second))
				f.death = job.death
				r.progress("%s: %s", f.mutant.id(), f.verdict())
			}
		}
	}
	r.judge(jobs, fates)
	return nil
}

// judge notes errors for the mutants whose job came to no result, or to one that the
// sources as they are have as well.
func (r *runner) judge(jobs []*guestJob, fates []fate) {
	unsound := make(map[string]bool)
	for _, job := range jobs {
		if job.mutant < 0 && (job.result == nil || job.death.killed) {
			unsound[job.killer] = true
			r.progress("%s fails in the guest in the sources as they are:\n%s", job.killer, job.death.output)
		}
	}
	for _, job := range jobs {
		switch {
		case job.mutant < 0:
		case job.result == nil:
			fates[job.mutant].err = fmt.Errorf("the guest has not run %s", job.text)
		case job.death.killed && unsound[job.killer]:
			fates[job.mutant].err = fmt.Errorf("%s fails in the guest without a mutant, too", job.killer)
		}
	}
}

// build builds the test program.
func (j *guestJob) build(ctx context.Context, r *runner, texts map[string]string) error {
	folder, err := os.MkdirTemp(r.folder, "guest")
	if err != nil {
		return err
	}
	k := killers[j.killer]
	program := filepath.Join(folder, "test")
	arguments := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", program}
	if texts != nil {
		overlay, err := writeOverlay(folder, r.root, texts)
		if err != nil {
			return err
		}
		arguments = append(arguments, "-overlay="+overlay)
	}
	if k.tags != "" {
		arguments = append(arguments, "-tags="+k.tags)
	}
	command := exec.CommandContext(ctx, "go", append(arguments, "./"+k.folder)...)
	command.Dir = r.root
	command.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOARCH="+guestArch)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w (%s):\n%s", errBuild, j.killer, output)
	}
	words := []string{program, "-test.v", "-test.failfast"}
	if k.mode != "" {
		words = append([]string{"VCPUALLOC_MODE=" + k.mode}, words...)
	}
	if k.run != "" {
		words = append(words, "-test.run="+k.run)
	}
	if k.skip != "" {
		words = append(words, "-test.skip="+k.skip)
	}
	j.text = strings.Join(append(words, k.args...), " ")
	return nil
}

// boot runs the jobs in one guest and reads its log.
func (r *runner) boot(ctx context.Context, jobs []*guestJob) error {
	cache := r.cache
	if cache == "" {
		cache = filepath.Join(r.root, ".cache", "guests")
	}
	arguments := []string{
		"run", "./internal/guests", "-row", r.guest, "-cache", cache, "-timeout", "60m",
		fmt.Sprint("-seconds=", guestSeconds), fmt.Sprint("-memory=", guestMemory),
	}
	byText := make(map[string]*guestJob)
	for _, job := range jobs {
		arguments = append(arguments, job.text)
		byText[job.text] = job
	}
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = r.root
	command.Env = append(os.Environ(), "GOARCH="+runtime.GOARCH)
	log := filepath.Join(cache, "logs", r.guest+".log")
	if err := os.RemoveAll(log); err != nil {
		return err
	}
	output, err := command.CombinedOutput() // it fails, since jobs do
	text, readErr := os.ReadFile(log)
	if readErr != nil {
		return fmt.Errorf("guest %s: %w\n%s", r.guest, err, output)
	}
	return readLog(text, byText)
}

// readLog finds the results of the jobs in a guest's console, and what each has
// printed before.
func readLog(log []byte, jobs map[string]*guestJob) error {
	var printed strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		text, ok := strings.CutPrefix(line, plan.JobPrefix)
		if !ok {
			fmt.Fprintln(&printed, line)
			continue
		}
		result := new(plan.JobResult)
		if err := json.Unmarshal([]byte(text), result); err != nil {
			return fmt.Errorf("guest: %q: %w", text, err)
		}
		if job := jobs[result.Name]; job != nil {
			job.result = result
			if result.Status != 0 || result.Error != "" {
				job.death = death{true, failedTest(printed.String()) + " in " + job.killer, printed.String()}
			} else {
				job.death.output = printed.String()
			}
		}
		printed.Reset()
	}
	return lines.Err()
}
