//go:build linux && (amd64 || arm64)

// Command tiers runs itself again and again in environments that take something
// away: seccomp filters that refuse rseq, membarrier or what the self-test needs,
// caps of the mode, few and many Ps. Each time the mode, its reason and the fence
// must be the right ones, and two short games must be played without a fault. It
// ends with status 1 if anything is otherwise.
//
// What is right depends on the kernel: the first run, from which nothing is taken,
// must come out with the mode of VCPUALLOC_EXPECT_MODE, and the others are compared
// with it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/vcpualloc/vcpualloc/internal/modes/filter"
	"github.com/vcpualloc/vcpualloc/internal/modes/report"
)

// Arguments by which this program tells itself what to do.
const (
	playArgument = "-play" // print the report
	denyArgument = "-deny" // do so under the filter of the rules that follow
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tiers:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == playArgument:
		os.Exit(report.Main(nil))
	case len(arguments) > 1 && arguments[0] == denyArgument:
		return deny(arguments[1:])
	case len(arguments) > 0:
		return fmt.Errorf("what is %q? It takes no arguments but its own", arguments)
	}
	return runRows(os.Getenv("VCPUALLOC_EXPECT_MODE"))
}

// deny becomes the program that plays, under a filter.
func deny(texts []string) error {
	runtime.LockOSThread() // a filter belongs to a thread, and exec keeps that of its caller
	var rules []filter.Rule
	for _, text := range texts {
		rule, err := filter.Parse(text)
		if err != nil {
			return err
		}
		rules = append(rules, rule)
	}
	if err := filter.Install(rules); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", []string{"tiers", playArgument}, os.Environ())
}

// runRows runs all rows. expected is the mode of the first, if it is known.
func runRows(expected string) error {
	wrong := 0
	var whole want
	for i, r := range rows {
		got, err := play(r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name(), err)
		}
		if i == 0 {
			whole = wholeOf(got)
			if expected != "" && whole.mode.String() != expected {
				return fmt.Errorf("the mode is %v (%s), want %s", whole.mode, whole.reason, expected)
			}
		}
		f := got.Features
		fmt.Printf("tiers: %s: %v, areas of %s, fence %v, %d ids, %d + %d rounds, %d aborts, reason %q\n", r.name(), f.Mode, f.Owner, f.Fence,
			got.Max, got.Tokens.Rounds, got.Blocks.Rounds, got.Stats.Aborts, f.Reason)
		for _, fault := range r.judge(whole, got) {
			fmt.Printf("tiers: WRONG: %s: %s\n", r.name(), fault)
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d environments came out wrong", wrong, len(rows))
	}
	fmt.Printf("tiers: %d environments, all right\n", len(rows))
	return nil
}

// play runs this program in the row's environment and returns its report.
func play(r row) (got report.Report, err error) {
	arguments := []string{playArgument}
	if len(r.denied) > 0 {
		arguments = append([]string{denyArgument}, r.denied...)
	}
	command := exec.Command("/proc/self/exe", arguments...)
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); name != "VCPUALLOC_MODE" && name != "GOMAXPROCS" {
			command.Env = append(command.Env, setting)
		}
	}
	command.Env = append(command.Env, r.env...)
	var stdout bytes.Buffer
	command.Stdout, command.Stderr = &stdout, os.Stderr
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return got, err
	}
	// A report with violations comes with a status of its own, and says more.
	if bad := json.Unmarshal(stdout.Bytes(), &got); bad != nil {
		return got, errors.Join(err, bad)
	}
	return got, nil
}
