package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	match    *regexp.Regexp
	skip     *regexp.Regexp
	tables   *regexp.Regexp
	quick    bool
	named    bool
	list     bool
	parallel int
	verbose  bool
	guest    string
	cache    string

	derive  bool
	changed string
	shard   string
	results string
	again   bool
	tests   *regexp.Regexp
}

func main() {
	var o options
	var match, skip, tables, tests string
	flag.StringVar(&match, "run", "", "pattern of the mutants' names (default all)")
	flag.StringVar(&skip, "skip", "^$", "pattern of the names of those that are left out")
	flag.StringVar(&tables, "tables", "", "pattern of the tables' names (default all)")
	flag.BoolVar(&o.named, "named", false, "try the runs that the tables name and no others; with -derive: those of the first row")
	flag.BoolVar(&o.quick, "quick", false, "only the small run; with -derive: only tests that take half a second together")
	flag.BoolVar(&o.list, "list", false, "print the mutants and end")
	flag.IntVar(&o.parallel, "j", 2, "mutants to try at once")
	flag.BoolVar(&o.verbose, "v", false, "print what the killing test says")
	flag.StringVar(&o.guest, "guest", "", "row of internal/guests that runs the mutants of arm64 (default: they are left out on another machine)")
	flag.StringVar(&o.cache, "cache", "", "cache folder of internal/guests")
	flag.BoolVar(&o.derive, "derive", false, "try the mutants that are derived from the packages whose folders are the arguments")
	flag.StringVar(&o.changed, "changed", "", "with -derive: only those on lines that were changed since this git revision")
	flag.StringVar(&o.shard, "shard", "", "with -derive: i/n, one of n parts of about the same size")
	flag.StringVar(&o.results, "results", "", "with -derive: file of what became of mutants; those in it are not tried again")
	flag.BoolVar(&o.again, "again", false, "with -results: try those again that are in the file and not dead, and no others")
	flag.StringVar(&tests, "tests", "", "with -derive: pattern of the tests to try (default all)")
	flag.Parse()
	o.match, o.skip, o.tables = regexp.MustCompile(match), regexp.MustCompile(skip), regexp.MustCompile(tables)
	o.tests = regexp.MustCompile(tests)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	alive, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if alive > 0 {
		os.Exit(1)
	}
}

// runner is one run of the command.
type runner struct {
	options
	root   string
	folder string // for overlays

	limits map[string]time.Duration // of the runs

	output sync.Mutex
	began  time.Time
	done   int
	count  int
}

// fate is what became of a mutant.
type fate struct {
	mutant mutant
	at     place
	texts  map[string]string // of the changed files, for a guest
	death  death
	took   time.Duration
	err    error
}

func run(ctx context.Context, o options) (alive int, err error) {
	if o.derive {
		return runDerived(ctx, o)
	}
	all, err := readTables()
	if err != nil {
		return 0, err
	}
	here, there := choose(all, o)
	if o.list {
		for _, m := range append(here, there...) {
			fmt.Println(m.id())
		}
		return 0, nil
	}
	if len(here)+len(there) == 0 {
		return 0, errors.New("no mutant has such a name; -list prints them")
	}
	r, err := newRunner(ctx, o)
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(r.folder)
	r.count = len(here) + len(there)
	if err := r.baseline(ctx, here); err != nil {
		return 0, err
	}
	fates := r.hunt(ctx, here)
	if len(there) > 0 {
		more, err := r.huntInGuest(ctx, there)
		if err != nil {
			return 0, err
		}
		fates = append(fates, more...)
	}
	alive = report(os.Stdout, fates, time.Since(r.began))
	return alive, ctx.Err()
}

// newRunner returns a runner with a folder of its own, which the caller removes.
func newRunner(ctx context.Context, o options) (r *runner, err error) {
	r = &runner{options: o, began: time.Now()}
	if r.root, err = moduleRoot(ctx); err != nil {
		return nil, err
	}
	r.folder, err = os.MkdirTemp("", "mutants")
	return r, err
}

// runDerived tries the mutants that are derived from packages.
func runDerived(ctx context.Context, o options) (left int, err error) {
	r, err := newRunner(ctx, o)
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(r.folder)
	var folders []string
	for _, argument := range flag.Args() {
		folders = append(folders, path.Clean(argument))
	}
	if len(folders) == 0 {
		folders = []string{"arena", "alloc"}
	}
	return r.derived(ctx, folders)
}

// choose returns the mutants that the options select: those that can run on this
// machine, and those for a guest.
func choose(all []mutant, o options) (here, there []mutant) {
	for _, m := range all {
		switch {
		case !o.tables.MatchString(m.table) || !o.match.MatchString(m.id()) || o.skip.MatchString(m.id()) || o.quick && !m.quick:
		case m.arch == "" || m.arch == runtime.GOARCH:
			here = append(here, m)
		case m.arch == guestArch && o.guest != "":
			there = append(there, m)
		}
	}
	return here, there
}

// moduleRoot is where go.mod is.
func moduleRoot(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/vcpualloc/vcpualloc").Output()
	if err != nil {
		return "", fmt.Errorf("run mutants from inside the module: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// baseline demands that what is to fail for the mutants passes without a change.
func (r *runner) baseline(ctx context.Context, mutants []mutant) error {
	needed := make(map[string]bool)
	for _, m := range mutants {
		for _, name := range m.killers {
			needed[name] = true
		}
	}
	names := make([]string, 0, len(needed))
	for name := range needed {
		names = append(names, name)
	}
	slices.Sort(names)
	took := make([]time.Duration, len(names))
	defer func() {
		r.limits = make(map[string]time.Duration)
		for i, name := range names {
			r.limits[name] = killTimes * took[i]
		}
	}()
	return r.parallelly(len(names), func(i int) error {
		began := time.Now()
		result, err := killers[names[i]].try(ctx, r.root, "", soundTimeout)
		took[i] = time.Since(began)
		if err == nil && result.killed {
			return fmt.Errorf("%s fails in the sources as they are:\n%s", names[i], result.output)
		}
		r.progress("%-16s does not fail without a mutant", names[i])
		return err
	})
}

// parallelly calls work for 0 to count-1, some at once, and returns the first error.
func (r *runner) parallelly(count int, work func(int) error) error {
	next := make(chan int)
	var mu sync.Mutex
	var first error
	var workers sync.WaitGroup
	for range max(1, r.parallel) {
		workers.Go(func() {
			for i := range next {
				mu.Lock()
				failed := first != nil
				mu.Unlock()
				if failed {
					continue
				}
				if err := work(i); err != nil {
					mu.Lock()
					first = cmp.Or(first, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	workers.Wait()
	return first
}

// hunt tries all mutants on this machine.
func (r *runner) hunt(ctx context.Context, mutants []mutant) []fate {
	fates := make([]fate, len(mutants))
	// The errors are in the fates.
	_ = r.parallelly(len(mutants), func(i int) error {
		fates[i] = r.huntOne(ctx, mutants[i], i)
		r.tell(fates[i])
		return nil
	})
	return fates
}

// huntOne tries one mutant with its killers, then with all that its package has.
func (r *runner) huntOne(ctx context.Context, m mutant, index int) (f fate) {
	began := time.Now()
	f.mutant = m
	defer func() { f.took = time.Since(began) }()
	texts, at, err := m.change(r.root)
	f.at, f.err = at, err
	if err != nil {
		return f
	}
	folder := filepath.Join(r.folder, fmt.Sprint(index))
	if f.err = os.Mkdir(folder, 0o700); f.err != nil {
		return f
	}
	overlay, err := writeOverlay(folder, r.root, texts)
	if err != nil {
		f.err = err
		return f
	}
	runs := slices.Clone(m.killers)
	if !r.named {
		runs = append(runs, lastResort[path.Dir(m.hunks[0].file)]...)
	}
	tried := make(map[string]bool)
	for _, name := range runs {
		if tried[name] {
			continue
		}
		if f.err = ctx.Err(); f.err != nil {
			break // it may yet be killed
		}
		tried[name] = true
		f.death, f.err = killers[name].try(ctx, r.root, overlay, max(killTimeout, r.limits[name]))
		if f.err != nil || f.death.killed {
			f.death.by += " in " + name
			break
		}
	}
	return f
}

// tell prints one line for a mutant that has met its fate.
func (r *runner) tell(f fate) {
	r.output.Lock()
	r.done++
	done := r.done
	r.output.Unlock()
	r.progress("%3d of %d  %s: %s", done, r.count, f.mutant.id(), f.verdict())
	if r.verbose || f.err != nil || !f.death.killed {
		r.progress("%s", f.death.output)
	}
}

// progress prints one line with the seconds since the start.
func (r *runner) progress(format string, arguments ...any) {
	r.output.Lock()
	defer r.output.Unlock()
	fmt.Fprintf(os.Stderr, "%6.1f  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, arguments...))
}
