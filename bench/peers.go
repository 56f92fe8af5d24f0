package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/bench/internal/workload"
	"github.com/vcpualloc/vcpualloc/bench/native"
)

// nativeHarness is the peer that shows what the native harness costs.
const nativeHarness = "empty-native"

// contender is a peer of either side, with how its child process is started.
type contender struct {
	result.Labelled
	isDefault bool
	serves    func(workload.Shape) bool
	command   func(ctx context.Context, shape workload.Shape, request workload.Request, cpus int) *exec.Cmd
	check     func(result.Sample) error // optional; did the child do what was meant?
}

// contenders are the peers in Go and, where they can be built, the native ones;
// preloads are libraries that the user adds. unavailable says why there are no
// native ones.
func contenders(ctx context.Context, preloads []string) (all []contender, unavailable, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start a child process: %w", err)
	}
	for _, peer := range workload.Peers() {
		all = append(all, goContender(program, peer))
	}
	libraries := native.Libraries()
	for _, text := range preloads {
		library, err := native.ParseLibrary(text)
		if err != nil {
			return nil, nil, err
		}
		libraries = append(libraries, library)
	}
	programs, err := native.Build(ctx)
	switch {
	case errors.Is(err, native.ErrNoCompiler) && len(preloads) == 0:
		return all, err, nil
	case err != nil:
		return nil, nil, err
	}
	for _, library := range libraries {
		all = append(all, nativeContender(programs.Malloc, library))
	}
	harness := nativeContender(programs.Harness, native.Library{Name: nativeHarness, Default: true,
		About: "C, the same bytes over and over: what the native harness costs"})
	harness.check = nil
	all = append(all, harness)
	for i, one := range all {
		if slices.ContainsFunc(all[:i], func(other contender) bool { return other.Name == one.Name }) {
			return nil, nil, fmt.Errorf("two peers are named %q: give -preload another name", one.Name)
		}
	}
	return all, nil, nil
}

func goContender(program string, peer workload.Peer) contender {
	return contender{
		Labelled:  result.Labelled{Name: peer.Name, About: peer.About},
		isDefault: peer.Default,
		serves:    peer.Serves,
		command: func(ctx context.Context, _ workload.Shape, request workload.Request, cpus int) *exec.Cmd {
			command := exec.CommandContext(ctx, program, "child",
				"--shape="+request.Shape, "--peer="+request.Peer,
				"--seed="+strconv.FormatUint(request.Seed, 10),
				"--warm="+request.Warm.String(), "--time="+request.Time.String())
			command.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(cpus))
			command.Env = append(command.Env, peer.Environment...)
			return command
		},
	}
}

func nativeContender(program string, library native.Library) contender {
	return contender{
		Labelled:  result.Labelled{Name: library.Name, About: library.About},
		isDefault: library.Default,
		serves:    func(shape workload.Shape) bool { return !shape.GoOnly },
		command: func(ctx context.Context, shape workload.Shape, request workload.Request, cpus int) *exec.Cmd {
			number := func(n int64) string { return strconv.FormatInt(n, 10) }
			command := exec.CommandContext(ctx, program, request.Shape, request.Peer,
				strconv.FormatUint(request.Seed, 10), number(int64(request.Warm)), number(int64(request.Time)),
				number(int64(shape.Time)), strconv.Itoa(cpus))
			command.Env = append(os.Environ(), library.Variables()...)
			return command
		},
		check: func(sample result.Sample) error {
			if library.Loaded(sample.Mode) {
				return nil
			}
			return fmt.Errorf("peer %s: malloc came from %s: the loader did not take %s", library.Name, sample.Mode, library.Path)
		},
	}
}
