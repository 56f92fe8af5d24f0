package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"time"
)

// killer is a run of some tests.
type killer struct {
	folder  string // of the package
	tags    string
	run     string // pattern of the tests; empty: all
	skip    string
	cgo     bool
	race    bool     // under the race detector, with cgo
	mode    string   // VCPUALLOC_MODE
	program bool     // it is no test but a program, which fails by itself
	builds  bool     // whether the tests build programs
	args    []string // of the test program
}

const stalledTag = "vcpualloc_stalled"

// killers are the runs that the tables name. What is not said to be of a mutant
// is tried with its package's "all" runs in the end.
var killers = map[string]killer{
	// Every point of every section, in the modes that have sections of their own.
	"points":     {folder: "rseqcs", tags: stalledTag, run: "Point|Capped"},
	"points-cpu": {folder: "rseqcs", tags: stalledTag, run: "Point|Capped", mode: "cpu_id"},
	"points-cgo": {folder: "rseqcs", tags: stalledTag, run: "Point|Capped", cgo: true},

	// The cap of restarts alone: without it the others hang.
	"capped": {folder: "rseqcs", tags: stalledTag, run: "Capped"},

	// The code of the sections against their descriptors.
	"code": {folder: "rseqcs", run: "Descriptor|Variant"},

	// Every instruction of every section.
	"step": {folder: "internal/stepper", program: true},

	"code-cpu": {folder: "rseqcs", run: "Descriptor|Variant", mode: "cpu_id"},

	// The operations against models, and what needs no interruption.
	"model":     {folder: "rseqcs", run: "LIFO|Blocks|Single|Countdown|Batches|Refuses|Unregistered|DrainTakes"},
	"small":     {folder: "rseqcs", run: "Counter(With|Counts)|Apart|Footprint|Fresh|Fence|Unregistered|DrainTakes|Refuses|SetUpBy|NoSlowPath|GoForms|ArrayMoves|CapacityEnds"},
	"gather":    {folder: "rseqcs", run: "Gather"},
	"check":     {folder: "rseqcs", run: "CheckWord|Gather"},
	"single":    {folder: "rseqcs", run: "Single|BlocksRefuse"},
	"forms":     {folder: "rseqcs", run: "Carried"},
	"whole":     {folder: "rseqcs", run: "WholeAddresses"},
	"model-cgo": {folder: "rseqcs", run: "LIFO|Blocks|Unregistered", cgo: true},

	"rseqcs":         {folder: "rseqcs", args: []string{"-stress=1s"}},
	"rseqcs-stalled": {folder: "rseqcs", tags: stalledTag, run: "Conserve|Exact|Unregistered", args: []string{"-stress=2s"}},
	"rseqcs-cgo":     {folder: "rseqcs", cgo: true, args: []string{"-stress=1s"}},
	"assigned":       {folder: "rseqcs", mode: "assigned", args: []string{"-stress=500ms"}},

	// What several threads read and write at once.
	"fallbacks": {folder: "rseqcs", run: "StopsWorld"},
	"atomic":    {folder: "rseqcs", run: "NoHalfHeader"},
	"race":      {folder: "rseqcs", run: "IsAtomic|RefuseFree|RefusePut", race: true},

	// Emptying idle magazines, and what moves objects meanwhile.
	"idle":    {folder: "rseqcs", run: "Idle"},
	"drained": {folder: "rseqcs", tags: stalledTag, run: "DrainConserves", args: []string{"-stress=1s"}},

	// The floors above.
	"arena":      {folder: "arena"},
	"moves":      {folder: "arena", run: "Upkeep|Surplus|Sweep|Fullest|Central|GiveObjects|Transfer"},
	"retain":     {folder: "arena", run: "TestRetain|ReleaseRate"},
	"bitmaps":    {folder: "arena", run: "BitmapsComeBack|HeapModel"},
	"rescue":     {folder: "arena", run: "Rescue|FullLimit"},
	"budgets":    {folder: "arena", run: "Budget|Squeeze|HeapLimit|PageHeapModel"},
	"comes-back": {folder: "alloc", run: "MemoryComesBack|Upkeep"},
	"heaps":      {folder: "arena", run: "HeapModel|HeapConcurrent|HeapLimit"},
	"trim":       {folder: "alloc", run: "Trim"},
	"child":      {folder: "alloc", run: "ChildL|ChildI|Reclaim|Wait|Closed"},
	"limits":     {folder: "alloc", run: "ReachesOther|WholeLimit|AtAnyInstant"},
	"children":   {folder: "alloc", run: "ChildrenAtOnce"},
	"batch":      {folder: "alloc", run: "Batch|FreeTwice|Closed"},
	"realloc":    {folder: "alloc", run: "Realloc"},
	"typed":      {folder: "alloc", run: "NewOf|ZeroSize|Pointers|KnownTypes|RegionNew|RegionTyped|HotPath|Closed"},
	"ops":        {folder: "alloc", run: "TestOps|BlocksHaveOneOwner"},
	"dirty":      {folder: "alloc", run: "Realloc|TestOps|Zeroes"},
	"alloc":      {folder: "alloc", skip: "UnderSignals|ExecUnderLoad|BalanceHolds"},
	"faults":     {folder: "alloc", tags: "vcpualloc_faults", run: "FaultAtEachCall|TestSoak", args: []string{"-soak=1s"}},

	// For the derived mutants, also in other modes and builds.
	"alloc-all":      {folder: "alloc"},
	"arena-assigned": {folder: "arena", mode: "assigned"},
	"alloc-assigned": {folder: "alloc", mode: "assigned"},
	"arena-gomem":    {folder: "arena", tags: "vcpualloc_gomem"},
	"alloc-gomem":    {folder: "alloc", tags: "vcpualloc_gomem"},

	"rseq":     {folder: "internal/rseq", skip: "ThreadsComeAndGo"}, // which takes long on a busy machine
	"rseq-all": {folder: "internal/rseq"},
	"rseq-cgo": {folder: "internal/rseq", skip: "ThreadsComeAndGo", cgo: true},
	// What the sections come out as.
	"golden": {folder: "internal/golden", run: "TheirID", builds: true},

	"marks": {folder: "internal/golden", run: "SafePoints", builds: true},

	// Programs that are built and run by the tests, so with the mutant in them.
	"modes-pie":      {folder: "internal/modes", run: "^TestRows$/^pie$", builds: true},
	"modes-cgo":      {folder: "internal/modes", run: "^TestRows$/^cgo$", builds: true},
	"modes-assigned": {folder: "internal/modes", run: "^TestRows$/^cap_assigned$", builds: true},
	"modes-unpinned": {folder: "internal/modes", run: "^TestRows$/^sched_setaffinity_EPERM$", builds: true},

	"vcpu":          {folder: "vcpu"},
	"vcpu-cgo":      {folder: "vcpu", cgo: true},
	"vcpu-assigned": {folder: "vcpu", mode: "assigned"},
}

// lastResort are the runs of a folder for a mutant that its killers leave alive.
var lastResort = map[string][]string{
	"rseqcs":        {"code", "step", "rseqcs-stalled", "rseqcs", "points-cgo", "rseqcs-cgo"},
	"internal/rseq": {"rseq", "rseq-cgo", "rseq-all", "vcpu", "rseqcs"},
	"vcpu":          {"vcpu", "vcpu-cgo", "rseqcs"},
	"arena":         {"arena", "alloc", "faults"},
	"alloc":         {"alloc", "faults"},
}

// A run has as long as soundTimeout without a mutant. With one it has several times
// as long as it took then, and killTimeout at least: what takes longer hangs, and on
// a busy machine nothing else does.
const (
	soundTimeout = 5 * time.Minute
	killTimeout  = 60 * time.Second
	killTimes    = 4
)

// arguments returns those of "go test".
func (k killer) arguments(overlay string, limit time.Duration) []string {
	if k.program {
		return append([]string{"run", "-overlay=" + overlay}, "./"+k.folder)
	}
	arguments := []string{"test", "-vet=off", "-count=1", "-v", "-failfast", "-timeout=" + limit.String()}
	if overlay != "" {
		arguments = append(arguments, "-overlay="+overlay)
	}
	if k.tags != "" {
		arguments = append(arguments, "-tags="+k.tags)
	}
	if k.race {
		arguments = append(arguments, "-race")
	}
	if k.run != "" {
		arguments = append(arguments, "-run="+k.run)
	}
	if k.skip != "" {
		arguments = append(arguments, "-skip="+k.skip)
	}
	arguments = append(arguments, "./"+k.folder)
	if len(k.args) > 0 {
		arguments = append(append(arguments, "-args"), k.args...)
	}
	return arguments
}

// death is how a run ended.
type death struct {
	killed bool
	by     string // the test that failed
	output string
}

// errBuild is a mutant that is no program: its table is wrong.
var errBuild = errors.New("the mutant does not build")

// errHang is a run that even its own time limit did not end.
var errHang = errors.New("the test hangs")

// try runs the tests on the sources under root as overlay changes them.
func (k killer) try(ctx context.Context, root, overlay string, limit time.Duration) (death, error) {
	// The time limit of the test program itself needs a P, which a mutant may hold.
	limited, stop := context.WithTimeoutCause(ctx, limit+20*time.Second, errHang)
	defer stop()
	command := exec.CommandContext(limited, "go", k.arguments(overlay, limit)...)
	command.Dir = root
	cgo := "CGO_ENABLED=0"
	if k.cgo || k.race {
		cgo = "CGO_ENABLED=1"
	}
	command.Env = append(os.Environ(), "GOWORK=off", cgo, "VCPUALLOC_MODE="+k.mode)
	if overlay != "" && k.builds {
		command.Env = append(command.Env, "GOFLAGS=-overlay="+overlay)
	}
	command.WaitDelay = 5 * time.Second
	endWithChildren(command)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	text := output.String()
	switch {
	case errors.Is(context.Cause(limited), errHang):
		return death{true, failedTest(text + "panic: test timed out"), text}, nil
	case ctx.Err() != nil:
		return death{}, fmt.Errorf("go test: %w", ctx.Err())
	case err == nil:
		return death{output: text}, nil
	case k.program && !strings.Contains(text, "# github.com/"):
		// It may also have come to no result, which proves nothing.
		return death{strings.Contains(text, "WRONG"), path.Base(k.folder), text}, nil
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]") || !strings.Contains(text, "FAIL"):
		return death{output: text}, fmt.Errorf("%w:\n%s", errBuild, text)
	}
	return death{true, failedTest(text), text}, nil
}

var (
	failedForm = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	startForm  = regexp.MustCompile(`(?m)^=== RUN +(\w+)`)
)

// failedTest returns the name of the test that failed, or of the one in which
// the program died.
func failedTest(output string) string {
	if match := failedForm.FindStringSubmatch(output); match != nil {
		return match[1]
	}
	how := "crash"
	if strings.Contains(output, "panic: test timed out") {
		how = "hang"
	}
	if all := startForm.FindAllStringSubmatch(output, -1); all != nil {
		return all[len(all)-1][1] + " (" + how + ")"
	}
	return "start of the program (" + how + ")"
}
