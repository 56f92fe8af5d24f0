//go:build amd64 || arm64

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// tracedArgument makes this program the traced one.
const tracedArgument = "-traced"

// highest stands for the mode that comes out where nothing caps it.
const highest = ""

// expectVariable names the mode that the sections must run in here, if any.
const expectVariable = "VCPUALLOC_EXPECT_MODE"

func main() {
	if len(os.Args) > 1 && os.Args[1] == tracedArgument {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "stepper, traced:", err)
			os.Exit(1)
		}
		return
	}
	modes := []string{vcpu.MMCID.String(), vcpu.CPUID.String()}
	one := flag.Bool("highest", false, "only in the highest mode that runs here")
	by := flag.String("by", "", "only by signal, intrusion or preemption")
	flag.Parse()
	if *one {
		modes = []string{highest}
	}
	ways, err := waysOf(*by)
	faults := 0
	if err == nil {
		faults, err = stepModes(os.Stdout, modes, ways)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stepper:", err)
	}
	if err != nil || faults > 0 {
		os.Exit(1)
	}
}

// waysOf returns the ways to interrupt of a name; no name stands for all.
func waysOf(name string) (ways []interruption, err error) {
	for how := range interruptionCount {
		if name == "" || name == how.String() {
			ways = append(ways, how)
		}
	}
	if len(ways) == 0 {
		return nil, fmt.Errorf("%q is no way to interrupt", name)
	}
	return ways, nil
}

// stepModes steps through the sections in some modes, the highest first.
func stepModes(out io.Writer, modes []string, ways []interruption) (faults int, err error) {
	// Only the thread that traces may ask for anything.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	texts := disassemble()
	for index, mode := range modes {
		got, n, err := stepMode(out, mode, ways, texts)
		faults += n
		want := os.Getenv(expectVariable)
		if errors.Is(err, errRefused) && want == "" {
			fmt.Fprintf(out, "no instruction was stepped through: %v\n", err)
			return faults, nil
		}
		if err != nil {
			return faults, err
		}
		if index == 0 && want != "" && got != want {
			return faults, fmt.Errorf("mode %s, want %s", got, want)
		}
	}
	return faults, nil
}

// stepMode interrupts all sections at all instructions, in a mode. It returns
// the mode that came out instead if the process does not reach the one asked for.
func stepMode(out io.Writer, mode string, ways []interruption, texts listing) (got string, faults int, err error) {
	victim, err := start(mode)
	if victim != nil {
		defer victim.stop()
	}
	if err != nil {
		return "", 0, err
	}
	hello := victim.hello
	switch {
	case hello.Mode == vcpu.Assigned.String():
		fmt.Fprintf(out, "no section runs here: %s\n", hello.Reason)
		return hello.Mode, 0, nil
	case mode != highest && hello.Mode != mode:
		fmt.Fprintf(out, "%s does not run here, %s does: %s\n", mode, hello.Mode, hello.Reason)
		return hello.Mode, 0, nil
	}
	mode = hello.Mode
	if err := victim.attach(); err != nil {
		return mode, 0, err
	}
	fmt.Fprintf(out, "%s, areas of %s, %d sections\n", mode, hello.Owner, len(hello.Sections))
	if err := eachHasScenario(hello.Sections); err != nil {
		return mode, 0, err
	}
	w := &walker{tracee: victim}
	totals := make([]tally, len(ways))
	for index := range hello.Sections {
		accounts, err := stepSection(w, &hello.Sections[index], ways, texts)
		for i, a := range accounts {
			a.print(out)
			faults += len(a.faults)
			totals[i].add(a)
		}
		if err != nil {
			return mode, faults, err
		}
	}
	for i, total := range totals {
		fmt.Fprintf(out, "in mode %s by %s: %v\n", mode, ways[i], &total)
	}
	return mode, faults, nil
}

// eachHasScenario makes sure that no section is forgotten.
func eachHasScenario(sections []section) error {
	unused := make(map[string]bool)
	for _, s := range scenarios {
		unused[s.section] = true
	}
	known := len(unused)
	for _, s := range sections {
		if !unused[s.Name] {
			return fmt.Errorf("the section %s (%s) has no scenario: add one", s.Name, s.Function)
		}
		delete(unused, s.Name)
	}
	if len(unused) > 0 || known == 0 {
		return fmt.Errorf("%d scenarios are for sections that the table does not have: %v", len(unused), unused)
	}
	return nil
}

// stepSection interrupts one section at each instruction of each scenario, and
// returns an account of each way to do so.
func stepSection(w *walker, s *section, ways []interruption, texts listing) (accounts []*account, err error) {
	for _, how := range ways {
		accounts = append(accounts, &account{section: s, how: how, records: make(map[uint64]*record)})
	}
	for number := range scenarios {
		if scenarios[number].section != s.Name {
			continue
		}
		if err := stepScenario(w, number, accounts, texts); err != nil {
			return accounts, err
		}
	}
	for _, a := range accounts {
		for _, address := range texts.between(s.Entry, s.End) {
			if a.records[address] == nil {
				a.blame(fmt.Sprintf("%s, %s", s.Function, texts.name(w.tracee, address)), []string{"no scenario came there"})
			}
		}
	}
	return accounts, nil
}

// stepScenario interrupts one scenario at each instruction.
func stepScenario(w *walker, number int, accounts []*account, texts listing) error {
	s := accounts[0].section
	places, fault, err := w.walk(number, s)
	if err != nil {
		return err
	}
	if fault != "" {
		accounts[0].blame(fmt.Sprintf("%s, %s", s.Function, scenarios[number].name), []string{fault})
	}
	if w.alone, err = w.timeAlone(number, s); err != nil {
		return err
	}
	for _, p := range places {
		for _, a := range accounts {
			if a.how == preemption && p.pass > 1 {
				continue // it would spin in the first pass already
			}
			attempt, err := w.try(number, s, p, a.how)
			where := fmt.Sprintf("%s, %s, %s at %s, pass %d", s.Function, scenarios[number].name, a.how, texts.name(w.tracee, p.address), p.pass)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			a.add(attempt)
			a.blame(where, attempt.faults)
		}
	}
	return nil
}
