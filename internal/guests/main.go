package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runner is one run of the command.
type runner struct {
	source   string // folder of this command
	cache    string
	locked   *os.File      // holds the cache
	timeout  time.Duration // per guest
	seconds  int           // per job
	memory   int           // MiB per guest
	niceness int
	jobs     []jobSpec

	kernels  *kernels
	emulator *emulator
	builder  *builder

	output sync.Mutex
	began  time.Time
}

type options struct {
	cache, rows, mirror string
	parallel, memory    int
	niceness, seconds   int
	timeout             time.Duration
	refresh, list       bool
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.cache, "cache", "", "folder for downloads, builds and logs (default .cache/guests in the module's root)")
	flag.StringVar(&o.rows, "row", "", "rows to run: names or patterns, separated by commas or blanks (default all)")
	flag.IntVar(&o.parallel, "j", 2, "guests to run at once")
	flag.DurationVar(&o.timeout, "timeout", 40*time.Minute, "limit per guest; that of a job is told in the time of the guest, which a busy host slows down")
	flag.IntVar(&o.seconds, "seconds", 300, "limit per job")
	flag.IntVar(&o.memory, "memory", 1024, "MiB per guest")
	flag.IntVar(&o.niceness, "nice", 10, "niceness of emulators and builds")
	flag.StringVar(&o.mirror, "mirror", "", "Debian mirror (default: that of the machine's apt)")
	flag.BoolVar(&o.refresh, "refresh", false, "fetch the package lists again")
	flag.BoolVar(&o.list, "list", false, "print the rows and end")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "guests [flags] [job...]   boot kernels and run static Go binaries in them (doc.go says more)")
		flag.PrintDefaults()
	}
	flag.Parse()
	return o
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bad, err := run(ctx, parseFlags(), flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "guests:", err)
		os.Exit(2)
	}
	if bad > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, jobs []string) (bad int, err error) {
	all, err := parseRows(rowsText)
	if err != nil {
		return 0, err
	}
	selected, err := selectRows(all, strings.FieldsFunc(o.rows, func(c rune) bool { return c == ',' || c == ' ' }))
	if err != nil {
		return 0, err
	}
	if o.list {
		for _, row := range selected {
			fmt.Printf("%-18s %-9s %s\n", row.Name, row.Mode, row.Reason)
		}
		return 0, nil
	}
	r, err := newRunner(ctx, o, all, jobs)
	if err != nil {
		return 0, err
	}
	outcomes := r.runAll(ctx, selected, o.parallel)
	bad = report(os.Stdout, outcomes)
	fmt.Printf("\n%d rows, %d with surprises, %.0f s\n", len(outcomes), bad, time.Since(r.began).Seconds())
	return bad, ctx.Err()
}

func newRunner(ctx context.Context, o options, all []Row, jobs []string) (*runner, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	if o.cache == "" {
		o.cache = filepath.Join(root, ".cache", "guests")
	}
	cache, err := prepareCache(o.cache)
	if err != nil {
		return nil, err
	}
	locked, err := lock(cache)
	if err != nil {
		return nil, err
	}
	r := &runner{
		locked: locked,
		source: filepath.Join(root, "internal", "guests"), cache: cache, timeout: o.timeout, seconds: o.seconds, memory: o.memory, niceness: o.niceness, began: time.Now(),
		builder: &builder{folder: filepath.Join(cache, "build"), niceness: o.niceness, built: map[string]string{}},
	}
	probe := jobSpec{name: "probe", kind: mainPackage, path: filepath.Join(r.source, "probe")}
	given, err := parseJobs(root, jobs)
	if err != nil {
		return nil, err
	}
	r.jobs = append([]jobSpec{probe}, given...)
	if err := checkNeeded(); err != nil {
		return nil, err
	}
	codename, err := release()
	if err != nil {
		return nil, err
	}
	if o.mirror == "" {
		if o.mirror, err = machineMirror(ctx, codename); err != nil {
			return nil, err
		}
	}
	r.kernels = &kernels{
		folder: cache, mirror: o.mirror, suites: suites(all), refresh: o.refresh, progress: r.progress,
		archives: map[string]*archive{}, offers: map[string][]available{}, refused: map[string]error{},
	}
	r.emulator, err = openEmulator(ctx, cache, codename, o.mirror, r.progress)
	return r, err
}

// moduleRoot is where go.mod is.
func moduleRoot(ctx context.Context) (string, error) {
	text, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/vcpualloc/vcpualloc"))
	if err != nil {
		return "", fmt.Errorf("run guests from inside the module: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// prepareCache makes the cache folder, with a .gitignore that keeps all of it
// out of the repository, wherever it is.
func prepareCache(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for _, below := range []string{"apt", "build", "initramfs", "kernels", "logs"} {
		if err := os.MkdirAll(filepath.Join(folder, below), 0o755); err != nil {
			return "", err
		}
	}
	return folder, os.WriteFile(filepath.Join(folder, ".gitignore"), []byte("*\n"), 0o644)
}

// runAll runs the rows, some at once, and returns their outcomes in order.
func (r *runner) runAll(ctx context.Context, rows []Row, parallel int) []outcome {
	outcomes := make([]outcome, len(rows))
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(1, parallel) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				outcomes[i] = r.runRow(ctx, rows[i])
				r.progress("%s: %s", rows[i].Name, outcomes[i].summary())
			}
		}()
	}
	for i := range rows {
		next <- i
	}
	close(next)
	workers.Wait()
	return outcomes
}

// prepare packs the jobs of a guest into its initramfs.
func (r *runner) prepare(ctx context.Context, row Row, jobs []packed) (string, error) {
	first := jobSpec{kind: mainPackage, path: filepath.Join(r.source, "init")}
	initBinary, err := r.builder.build(ctx, first, row.Arch)
	if err != nil {
		return "", err
	}
	name := filepath.Join(r.cache, "initramfs", row.Name+".cpio.gz")
	return name, writeInitramfs(name, initBinary, jobs)
}

// logName is the file for the console of a row's guest, after so many lost ones.
func (r *runner) logName(row Row, lost int) string {
	name := row.Name
	if lost > 0 {
		name += fmt.Sprintf(".%d", lost+1)
	}
	return filepath.Join(r.cache, "logs", name+".log")
}

// progress prints one line with the seconds since the start.
func (r *runner) progress(format string, arguments ...any) {
	r.output.Lock()
	defer r.output.Unlock()
	fmt.Fprintf(os.Stderr, "%6.1f  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, arguments...))
}
