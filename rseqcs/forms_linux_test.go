//go:build amd64 || arm64

package rseqcs

import "testing"

// variantHere returns which row of the section table this process runs.
func variantHere() int {
	prepare()
	for variant := range sectionTable() {
		if variant != byP && sectionDescriptors()[variant][0].Start != 0 {
			return variant
		}
	}
	return -1
}

// callForms returns the sections of this process in both forms of a call.
func callForms() map[string]operations {
	variant := variantHere()
	if variant < 0 {
		return nil
	}
	entries := &sectionTable()[variant]
	return map[string]operations{"registers": registerCalls(entries), "stack": stackCalls(entries)}
}

// TestPinnedForms plays the game on the slabs of the Ps, in assembly and in Go.
func TestPinnedForms(t *testing.T) {
	prepare()
	beforeRun, beforePinned, beforeSections := run, pinned, sections
	defer func() { run, pinned, sections = beforeRun, beforePinned, beforeSections }()
	sections = false
	for name, o := range map[string]operations{"assembly": beforePinned, "Go": assigned} {
		t.Run(name, func(t *testing.T) {
			run, pinned = o, o
			TestStackConserves(t)
			TestCounterIsExact(t)
		})
	}
}

// TestCallForms plays the game with either form, whichever the process has chosen.
func TestCallForms(t *testing.T) {
	for name, o := range callForms() {
		t.Run(name, func(t *testing.T) {
			before := run
			run = o
			defer func() { run = before }()
			TestStackConserves(t)
		})
	}
}
