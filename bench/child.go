package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
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

// answer is what a child process writes. A native child will write the same.
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
func measure(ctx context.Context, peer workload.Peer, request workload.Request, cpus int) (result.Sample, error) {
	program, err := os.Executable()
	if err != nil {
		return result.Sample{}, fmt.Errorf("cannot start a child process: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, childPatience+request.Warm+request.Time)
	defer cancel()
	command := exec.CommandContext(ctx, program, "child",
		"--shape="+request.Shape, "--peer="+request.Peer,
		"--seed="+strconv.FormatUint(request.Seed, 10),
		"--warm="+request.Warm.String(), "--time="+request.Time.String())
	command.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(cpus))
	command.Env = append(command.Env, peer.Environment...)
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := command.Run(); err != nil {
		return result.Sample{}, fmt.Errorf("%s with %s: child process: %w: %s",
			request.Shape, request.Peer, err, strings.TrimSpace(complaint.String()))
	}
	sample, err := parseAnswer(output.Bytes(), request)
	if err != nil {
		return result.Sample{}, err
	}
	sample.CPUSeconds = (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
	return sample, nil
}

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
		return result.Sample{}, fmt.Errorf("%s with %s: no operation was completed; give it more -time", request.Shape, request.Peer)
	}
	return a.Sample, nil
}
