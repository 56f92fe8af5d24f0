package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// figures are what the jobs of a guest print of aborts, in their own words.
type figures struct {
	aborts  int // that tests have counted
	stepped steps
}

// steps is what the stepper has to say: that it was at so many instructions, and
// at how many of them the section was aborted and came out right. Of several
// reports, one for each way to interrupt, the lowest figures count.
type steps struct {
	reports                        int
	instructions, aborted, correct int
}

var (
	abortsText = regexp.MustCompile(`\b(\d+) aborts\b`)
	stepsText  = regexp.MustCompile(`^in mode \S+ by \S+: +(\d+) instructions, +(\d+) aborted, +(\d+) right`)
)

func (f *figures) line(text string) {
	for _, match := range abortsText.FindAllStringSubmatch(text, -1) {
		f.aborts += number(match[1])
	}
	if match := stepsText.FindStringSubmatch(text); match != nil {
		f.stepped.add(number(match[1]), number(match[2]), number(match[3]))
	}
}

func (s *steps) add(instructions, aborted, correct int) {
	if s.reports == 0 {
		s.instructions, s.aborted, s.correct = instructions, aborted, correct
	}
	s.instructions, s.aborted, s.correct = min(s.instructions, instructions), min(s.aborted, aborted), min(s.correct, correct)
	s.reports++
}

func (s steps) String() string {
	if s.reports == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d/%d", s.instructions, s.aborted, s.correct)
}

// number reads digits that a pattern has found.
func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// faultMarks begin a line in which a job says what is wrong.
var faultMarks = []string{"--- FAIL", "panic:", "fatal error:", "WRONG:", "churn: FAILED", "tiers: WRONG", "stepper: ", "init: "}

// enoughFaults is how many such lines of a job are worth repeating.
const enoughFaults = 5

// faults collects the lines in which jobs say what is wrong, by the job's name.
type faults struct {
	current []string
	of      map[string][]string
}

func (f *faults) line(text string) {
	text = strings.TrimSpace(text)
	for _, mark := range faultMarks {
		if strings.HasPrefix(text, mark) && len(f.current) < enoughFaults {
			f.current = append(f.current, text)
			return
		}
	}
}

// end is called when a job has ended.
func (f *faults) end(job plan.JobResult) {
	if !good(job) {
		if f.of == nil {
			f.of = make(map[string][]string)
		}
		f.of[job.Name] = f.current
	}
	f.current = nil
}
