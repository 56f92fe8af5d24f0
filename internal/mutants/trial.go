package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// derivedRuns are the runs of a folder for the derived mutants: those of the first
// row for all, those of the second for what the first leaves alive. In the second
// row all tests run that reach the mutant, in other modes and builds.
var derivedRuns = map[string][2][]string{
	"arena":         {{"arena", "alloc-all"}, {"arena-assigned", "alloc-assigned", "arena-gomem", "alloc-gomem", "faults"}},
	"alloc":         {{"alloc-all"}, {"alloc-assigned", "alloc-gomem", "faults"}},
	"vcpu":          {{"vcpu"}, {"vcpu-assigned"}},
	"rseqcs":        {{"rseqcs", "arena"}, {"assigned"}},
	"internal/rseq": {{"rseq-all", "vcpu", "rseqcs"}, {"rseq-cgo"}},
}

// program is a test program with all derived mutants in it.
type program struct {
	killer
	name  string
	path  string
	root  string
	tests []profiled // quickest first

	mu    sync.Mutex
	kills map[string]int // by test
}

// profiled is what is known of one test.
type profiled struct {
	name string
	took time.Duration
	hits []byte // by the Hit of a mutant
}

// Of the tests that reach a mutant the quickest are tried first, all that take this
// long together in one process; then those of the next stage.
var stages = []time.Duration{500 * time.Millisecond, 3 * time.Second, time.Hour}

// firstStage is how long those tests take together that are tried before: those that
// have killed the most for the time that they take.
const firstStage = 100 * time.Millisecond

// quickStages are those of the small run.
const quickStages = 1

// A trial takes as long as hangTimes the tests without a mutant and hangLeast on top;
// what takes longer hangs. A program that takes mostMemory bytes has failed, too.
const (
	hangTimes  = 8
	hangWall   = 20 // of the time on the clock, one part counts in any case
	hangLeast  = 3 * time.Second
	mostMemory = 4 << 30
)

// build compiles the test program with the overlay.
func (p *program) build(ctx context.Context, overlay, folder string) error {
	p.path = filepath.Join(folder, p.name+".test")
	command := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay="+overlay, "-tags="+p.tags, "-o", p.path, "./"+p.folder)
	command.Dir = p.root
	command.Env = p.environment()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s does not build: %w\n%s", p.name, err, output)
	}
	return nil
}

func (p *program) environment(more ...string) []string {
	cgo := "CGO_ENABLED=0"
	if p.cgo {
		cgo = "CGO_ENABLED=1"
	}
	return append(append(os.Environ(), "GOWORK=off", cgo, "VCPUALLOC_MODE="+p.mode), more...)
}

// profile runs each test alone and notes what it reaches. A test that fails without a
// mutant is left out. count is the number of bytes of hits.
func (p *program) profile(ctx context.Context, r *runner, count int) error {
	output, err := exec.CommandContext(ctx, p.path, "-test.list=.").Output()
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	run, skip := regexp.MustCompile(p.killer.run), regexp.MustCompile(p.killer.skip)
	var names []string
	for _, name := range strings.Fields(string(output)) {
		if !strings.HasPrefix(name, "Benchmark") && r.tests.MatchString(name) && run.MatchString(name) && (p.killer.skip == "" || !skip.MatchString(name)) {
			names = append(names, name)
		}
	}
	tests := make([]profiled, len(names))
	err = r.parallelly(len(names), func(i int) error {
		hits := filepath.Join(r.folder, p.name+"_"+names[i]+".hits")
		if err := os.WriteFile(hits, make([]byte, count), 0o600); err != nil {
			return err
		}
		defer os.Remove(hits)
		for _, environment := range []string{"VCPUALLOC_MUTANT_HITS=" + hits, "VCPUALLOC_MUTANT=0"} {
			// In the second run the file of hits does not count as a mapping.
			end, took, err := p.try(ctx, []string{names[i]}, soundTimeout, environment)
			if err != nil {
				return err
			}
			if !end.killed {
				tests[i] = profiled{name: names[i], took: took}
				break
			}
			if environment == "VCPUALLOC_MUTANT=0" {
				r.progress("%s: %s fails without a mutant and is left out:\n%s", p.name, names[i], end.output)
			}
		}
		tests[i].hits, err = os.ReadFile(hits)
		return err
	})
	tests = slices.DeleteFunc(tests, func(t profiled) bool { return t.name == "" })
	slices.SortFunc(tests, func(a, b profiled) int { return int(a.took - b.took) })
	p.tests = tests
	r.progress("%s: %d tests", p.name, len(tests))
	return err
}

// hunt tries the tests that reach a mutant.
func (p *program) hunt(ctx context.Context, stages []time.Duration, id, hit int) (reached bool, end death, err error) {
	var tests []profiled
	for _, t := range p.tests {
		if t.hits[hit] != 0 {
			tests = append(tests, t)
		}
	}
	first := p.byKills(tests)
	for _, list := range append([][]profiled{first}, staged(tests, stages)...) {
		if len(list) == 0 {
			continue
		}
		var names []string
		var sum time.Duration
		for _, t := range list {
			names = append(names, t.name)
			sum += t.took
		}
		end, _, err = p.try(ctx, names, hangLeast+hangTimes*sum, "VCPUALLOC_MUTANT="+strconv.Itoa(id))
		if err != nil {
			return true, end, err
		}
		if end.killed {
			test, _, _ := strings.Cut(end.by, " ")
			p.mu.Lock()
			p.kills[test]++
			p.mu.Unlock()
			return true, end, nil
		}
	}
	return len(tests) > 0, end, nil
}

// byKills returns the tests for the first stage.
func (p *program) byKills(tests []profiled) (first []profiled) {
	p.mu.Lock()
	score := func(t profiled) float64 { return (1 + float64(p.kills[t.name])) / t.took.Seconds() }
	tests = slices.Clone(tests)
	slices.SortFunc(tests, func(a, b profiled) int { return cmp.Compare(score(b), score(a)) })
	p.mu.Unlock()
	for sum := time.Duration(0); len(tests) > 0 && sum+tests[0].took <= firstStage; tests = tests[1:] {
		sum += tests[0].took
		first = append(first, tests[0])
	}
	return first
}

// staged divides tests, which are in the order of their time.
func staged(tests []profiled, stages []time.Duration) (lists [][]profiled) {
	for _, stage := range stages {
		var list []profiled
		for sum := time.Duration(0); len(tests) > 0 && (sum+tests[0].took <= stage || list == nil && stage > stages[0]); tests = tests[1:] {
			sum += tests[0].took
			list = append(list, tests[0])
		}
		lists = append(lists, list)
	}
	return lists
}

// try runs tests of the program. took is about the time that it would have taken on a
// machine that is not busy: a busy one makes no mutant hang.
func (p *program) try(ctx context.Context, tests []string, limit time.Duration, environment string) (end death, took time.Duration, err error) {
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	command := exec.CommandContext(limited, p.path, append([]string{
		"-test.run=^(" + strings.Join(tests, "|") + ")$", "-test.v", "-test.failfast", "-test.timeout=0",
	}, p.args...)...)
	command.Dir = filepath.Join(p.root, p.folder)
	command.Env = p.environment(environment)
	command.WaitDelay = 5 * time.Second
	endWithChildren(command)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	w := watch{began: time.Now(), waited: make(map[string]time.Duration)}
	if err := command.Start(); err != nil {
		return death{}, 0, fmt.Errorf("%s: %w", p.name, err)
	}
	w.pid = command.Process.Pid
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.until(limited, limit, stop)
	}()
	err = command.Wait()
	w.ended = time.Now()
	cause := context.Cause(limited)
	stop(nil)
	<-watched
	text := output.String()
	switch {
	case ctx.Err() != nil:
		return death{}, 0, ctx.Err()
	case errors.Is(cause, errGreedy):
		return death{true, failedTest(text) + " (memory)", text}, 0, nil
	case errors.Is(cause, errHang):
		return death{true, failedTest(text + "panic: test timed out"), text}, 0, nil
	case err != nil:
		return death{true, failedTest(text), text}, w.took(), nil
	}
	return death{output: text}, w.took(), nil
}

// errGreedy is a run that takes too much memory.
var errGreedy = errors.New("the test takes too much memory")

// watch looks at a process while it runs.
type watch struct {
	pid    int
	began  time.Time
	ended  time.Time                // zero while it runs
	waited map[string]time.Duration // for a CPU, by thread
}

const watchPeriod = 50 * time.Millisecond

// took is the time since the start, less what the thread that has waited the longest for a
// CPU has waited.
func (w *watch) took() time.Duration {
	took, longest := cmp.Or(w.ended, time.Now()).Sub(w.began), time.Duration(0)
	for _, waited := range w.waited {
		longest = max(longest, waited)
	}
	return max(took-longest, took/hangWall, time.Millisecond)
}

// until ends the process when it hangs or takes too much memory.
func (w *watch) until(ctx context.Context, limit time.Duration, end func(error)) {
	ticker := time.NewTicker(watchPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		folder := fmt.Sprintf("/proc/%d", w.pid)
		if text, err := os.ReadFile(folder + "/statm"); err == nil {
			var size, resident int64
			fmt.Sscan(string(text), &size, &resident)
			if resident*int64(os.Getpagesize()) > mostMemory {
				end(errGreedy)
			}
		}
		threads, _ := filepath.Glob(folder + "/task/*/schedstat")
		for _, thread := range threads {
			if text, err := os.ReadFile(thread); err == nil {
				var ran, waited int64
				fmt.Sscan(string(text), &ran, &waited)
				w.waited[thread] = time.Duration(waited)
			}
		}
		if w.took() > limit {
			end(errHang)
		}
	}
}
