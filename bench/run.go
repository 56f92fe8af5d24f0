package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/bench/internal/workload"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

type runCommand struct {
	Shape   []string      `help:"Shapes to run, or patterns such as 'pair-*'; default: those marked by list." placeholder:"NAME"`
	Peer    []string      `help:"Peers to run, or patterns such as 'vcpualloc*'; default: those marked by list." placeholder:"NAME"`
	CPUs    []int         `name:"cpus" help:"Values of GOMAXPROCS to run with; default: as many as there are CPUs." placeholder:"N"`
	Time    time.Duration `help:"Time to measure each shape and peer for, in each round; a quarter of it is added as warm-up. Default: the shape's own." placeholder:"TIME"`
	Count   int           `help:"Rounds." default:"3"`
	Seed    uint64        `help:"Seed of the shapes' random numbers." default:"1"`
	JSON    string        `name:"json" help:"File for the results; default: one named by the time, in the directory of -out." placeholder:"FILE"`
	Preload []string      `sep:"none" help:"Another native peer, repeatable: a library that replaces malloc, and variables for it." placeholder:"NAME=PATH[,VARIABLE=VALUE]"`
	Out     string        `help:"Directory for results and pictures; default: bench/results of this repository, or below the current directory." placeholder:"DIR"`
}

// Run measures and reports.
func (c runCommand) Run(ctx context.Context, to streams) error {
	shapes, peers, err := c.choose(ctx, to)
	if err != nil {
		return err
	}
	if c.Count < 1 || c.Time < 0 {
		return fmt.Errorf("-count must be at least 1 and -time not negative")
	}
	cpus := c.CPUs
	if len(cpus) == 0 {
		cpus = []int{runtime.GOMAXPROCS(0)}
	} else if slices.Min(cpus) < 1 {
		return fmt.Errorf("-cpus must be at least 1")
	}
	d := c.begin(shapes, peers, cpus)
	if err := printFeatures(to.out, d.Features); err != nil {
		return err
	}
	printMachine(to.out, d)
	for _, warning := range d.Warnings {
		fmt.Fprintf(to.progress, "warning: %s\n", warning)
	}
	before := result.NowActive()
	d.Samples, err = c.rounds(ctx, to, shapes, peers, cpus)
	if err != nil {
		return err
	}
	own := 0.0
	for _, sample := range d.Samples {
		own += sample.CPUSeconds
	}
	d.ForeignShare = before.Foreign(result.NowActive(), own)
	if warning := result.Disturbed(d.ForeignShare); warning != "" {
		d.Warnings = append(d.Warnings, warning)
	}
	file, base, err := c.places(d.Started)
	if err != nil {
		return err
	}
	if err := d.Save(file); err != nil {
		return err
	}
	return report(to.out, d, file, base)
}

// begin is the document of a run that has no samples yet.
func (c runCommand) begin(shapes []workload.Shape, peers []contender, cpus []int) *result.Document {
	d := &result.Document{
		Version:  result.Version,
		Started:  time.Now().UTC().Truncate(time.Second),
		Command:  os.Args,
		Machine:  result.ThisMachine(),
		Features: vcpu.Probe(),
		Settings: result.Settings{
			Rounds: c.Count, CPUs: cpus, Time: c.Time, Seed: c.Seed,
			Baseline: workload.Ours, Harness: workload.Empty, NativeHarness: nativeHarness,
		},
	}
	for _, shape := range shapes {
		d.Shapes = append(d.Shapes, result.Labelled{Name: shape.Name, About: shape.About})
	}
	for _, peer := range peers {
		d.Peers = append(d.Peers, peer.Labelled)
	}
	if warning := d.Machine.Disquiet(); warning != "" {
		d.Warnings = append(d.Warnings, warning)
	}
	return d
}

// rounds makes all measurements. In each round the peers' order is turned by
// one, so that none always comes after the same other.
func (c runCommand) rounds(ctx context.Context, to streams, shapes []workload.Shape, peers []contender, cpus []int) ([]result.Sample, error) {
	each := 0
	for _, shape := range shapes {
		for _, peer := range peers {
			if peer.serves(shape) {
				each++
			}
		}
	}
	if each == 0 {
		return nil, fmt.Errorf("none of the peers does any of the shapes: `bench list` says what they need")
	}
	show := newProgress(to.progress, c.Count*each*len(cpus))
	defer show.end()
	samples := []result.Sample{}
	for round := 1; round <= c.Count; round++ {
		turn := (round - 1) % len(peers)
		order := append(slices.Clone(peers[turn:]), peers[:turn]...)
		for _, shape := range shapes {
			for _, count := range cpus {
				for _, peer := range order {
					if !peer.serves(shape) {
						continue
					}
					show.starting(round, c.Count, shape.Name, peer.Name)
					request := workload.Request{Shape: shape.Name, Peer: peer.Name, Seed: c.Seed, Warm: c.Time / 4, Time: c.Time}
					sample, err := measure(ctx, peer, shape, request, count)
					if err != nil {
						return nil, err
					}
					sample.Round = round
					samples = append(samples, sample)
					show.finished(round, c.Count, shape.Name, peer.Name, sample.NSPerOperation)
				}
			}
		}
	}
	return samples, nil
}

// choose resolves the names and patterns of the command line.
func (c runCommand) choose(ctx context.Context, to streams) (shapes []workload.Shape, peers []contender, err error) {
	shapes, err = chosen("shape", c.Shape, workload.Shapes(), func(s workload.Shape) (string, bool) { return s.Name, s.Default })
	if err != nil {
		return nil, nil, err
	}
	all, unavailable, err := contenders(ctx, c.Preload)
	if err != nil {
		return nil, nil, err
	}
	if unavailable != nil {
		fmt.Fprintf(to.progress, "warning: %v\n", unavailable)
	}
	peers, err = chosen("peer", c.Peer, all, func(p contender) (string, bool) { return p.Name, p.isDefault })
	return shapes, peers, err
}

// chosen returns the entries of the table that a pattern matches, in the
// table's order; the default ones where there is no pattern.
func chosen[T any](kind string, patterns []string, table []T, describe func(T) (name string, byDefault bool)) ([]T, error) {
	wanted := make([]bool, len(table))
	for _, pattern := range patterns {
		matches := 0
		for i, entry := range table {
			name, _ := describe(entry)
			if ok, err := path.Match(pattern, name); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", pattern, err)
			} else if ok {
				wanted[i] = true
				matches++
			}
		}
		if matches == 0 {
			return nil, fmt.Errorf("no %s is named %q: `bench list` shows what there is", kind, pattern)
		}
	}
	entries := []T{}
	for i, entry := range table {
		if _, byDefault := describe(entry); wanted[i] || len(patterns) == 0 && byDefault {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// places returns the file for the results and the path of the pictures without
// their suffix, and makes the directories.
func (c runCommand) places(started time.Time) (file, base string, err error) {
	out := c.Out
	if out == "" {
		out = resultsDirectory()
	}
	base = filepath.Join(out, "run-"+started.Format("20060102T150405Z"))
	file = c.JSON
	if file == "" {
		file = base + ".json"
	}
	for _, directory := range []string{out, filepath.Dir(file)} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return "", "", fmt.Errorf("cannot make a directory for the results: %w", err)
		}
	}
	return file, base, nil
}

// resultsDirectory is bench/results of the repository that the current
// directory lies in, or of the current directory.
func resultsDirectory() string {
	const results = "bench/results"
	start, err := os.Getwd()
	if err != nil {
		return results
	}
	for directory := start; ; directory = filepath.Dir(directory) {
		if _, err := os.Stat(filepath.Join(directory, "bench", "go.mod")); err == nil {
			return filepath.Join(directory, results)
		}
		if directory == filepath.Dir(directory) {
			return filepath.Join(start, results)
		}
	}
}
