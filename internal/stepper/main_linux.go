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
	flag.Parse()
	if *one {
		modes = []string{highest}
	}
	faults, err := stepModes(os.Stdout, modes)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stepper:", err)
	}
	if err != nil || faults > 0 {
		os.Exit(1)
	}
}

// stepModes steps through the sections in some modes, the highest first.
func stepModes(out io.Writer, modes []string) (faults int, err error) {
	// Only the thread that traces may ask for anything.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	texts := disassemble()
	for index, mode := range modes {
		got, n, err := stepMode(out, mode, texts)
		faults += n
		if errors.Is(err, errRefused) {
			fmt.Fprintf(out, "no instruction was stepped through: %v\n", err)
			return faults, nil
		}
		if err != nil {
			return faults, err
		}
		if want := os.Getenv(expectVariable); index == 0 && want != "" && got != want {
			return faults, fmt.Errorf("mode %s, want %s", got, want)
		}
	}
	return faults, nil
}

// stepMode interrupts all sections at all instructions, in a mode. It returns
// the mode that came out instead if the process does not reach the one asked for.
func stepMode(out io.Writer, mode string, texts listing) (got string, faults int, err error) {
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
	for index := range hello.Sections {
		n, err := stepSection(out, w, &hello.Sections[index], texts)
		faults += n
		if err != nil {
			return mode, faults, err
		}
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

// stepSection interrupts one section at each instruction of each scenario.
func stepSection(out io.Writer, w *walker, s *section, texts listing) (faults int, err error) {
	var accounts [interruptionCount]*account
	for how := range accounts {
		accounts[how] = &account{section: s, how: interruption(how), records: make(map[uint64]*record)}
	}
	for number := range scenarios {
		if scenarios[number].section != s.Name {
			continue
		}
		places, fault, err := w.walk(number, s)
		if err != nil {
			return faults, err
		}
		if fault != "" {
			accounts[0].blame(fmt.Sprintf("%s, %s", s.Function, scenarios[number].name), []string{fault})
		}
		if w.alone, err = w.timeAlone(number, s); err != nil {
			return faults, err
		}
		for _, p := range places {
			for _, a := range accounts {
				if a.how == preemption && p.pass > 1 {
					continue // it would spin in the first pass already
				}
				attempt, err := w.try(number, s, p, a.how)
				where := fmt.Sprintf("%s, %s, %s at %s, pass %d", s.Function, scenarios[number].name, a.how, texts.name(w.tracee, p.address), p.pass)
				if err != nil {
					return faults, fmt.Errorf("%s: %w", where, err)
				}
				a.add(attempt)
				a.blame(where, attempt.faults)
			}
		}
	}
	for _, a := range accounts {
		for _, address := range texts.between(s.Entry, s.End) {
			if a.records[address] == nil {
				a.blame(fmt.Sprintf("%s, %s", s.Function, texts.name(w.tracee, address)), []string{"no scenario came there"})
			}
		}
		a.print(out)
		faults += len(a.faults)
	}
	return faults, nil
}
