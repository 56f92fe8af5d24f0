package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/bench/internal/workload"
)

// childCommand is the other side of measure: one measurement, and its answer
// on standard output.
type childCommand struct {
	Shape string        `required:""`
	Peer  string        `required:""`
	Seed  uint64        `required:""`
	Warm  time.Duration `help:"0: the shape's own."`
	Time  time.Duration `help:"0: the shape's own."`
}

// answer is what a child process writes, in Go or native.
type answer struct {
	Version int           `json:"version"` // result.Version
	Sample  result.Sample `json:"sample"`
}

// Run makes the measurement.
func (c childCommand) Run(to streams) error {
	sample, err := workload.Measure(workload.Request{
		Shape: c.Shape, Peer: c.Peer, Seed: c.Seed, Warm: c.Warm, Time: c.Time,
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(to.out).Encode(answer{result.Version, sample})
}

// childPatience is how long a child may take beyond what it was asked for:
// to start, to fill its slots, and to end.
const childPatience = 2 * time.Minute

// measure makes one measurement in a process of its own and waits for it.
func measure(ctx context.Context, peer contender, shape workload.Shape, request workload.Request, cpus int) (result.Sample, error) {
	if request.Time == 0 {
		request.Warm, request.Time = shape.Warm, shape.Time
	}
	ctx, cancel := context.WithTimeout(ctx, childPatience+10*(request.Warm+request.Time))
	defer cancel()
	command := peer.command(ctx, shape, request, cpus)
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	err := onCPUs(cpus, command.Start)
	if err == nil {
		err = command.Wait()
	}
	if err != nil {
		return result.Sample{}, fmt.Errorf("%s with %s: child process: %w: %s",
			request.Shape, request.Peer, err, strings.TrimSpace(complaint.String()))
	}
	sample, err := parseAnswer(output.Bytes(), request)
	if err != nil {
		return result.Sample{}, err
	}
	if peer.check != nil {
		if err := peer.check(sample); err != nil {
			return result.Sample{}, err
		}
	}
	sample.CPUSeconds = (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
	return sample, nil
}

var errNothingDone = errors.New("no operation was completed; give it more -time")

// parseAnswer reads what a child wrote, and checks that it did as it was asked.
func parseAnswer(text []byte, request workload.Request) (result.Sample, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return result.Sample{}, fmt.Errorf("%s with %s: child process: %w in %q", request.Shape, request.Peer, err, text)
	}
	switch {
	case a.Version != result.Version:
		return result.Sample{}, fmt.Errorf("child process: %w: %d, not %d", result.ErrVersion, a.Version, result.Version)
	case a.Sample.Shape != request.Shape || a.Sample.Peer != request.Peer:
		return result.Sample{}, fmt.Errorf("child process measured %s with %s instead of %s with %s",
			a.Sample.Shape, a.Sample.Peer, request.Shape, request.Peer)
	case a.Sample.Operations <= 0:
		return result.Sample{}, fmt.Errorf("%s with %s: %w", request.Shape, request.Peer, errNothingDone)
	}
	return a.Sample, nil
}
