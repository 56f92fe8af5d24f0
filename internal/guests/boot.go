package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// console is what was seen on a guest's console.
type console struct {
	mode      *plan.Mode       // of the first job that printed one
	result    *plan.Result     // only if its line was the last
	troubles  []string         // lines in which the kernel says that it is broken
	malformed []string         // lines for the runner that it could not read
	notes     []string         // figures that jobs want to be seen
	jobs      []plan.JobResult // in the order of their ends
	figures   figures
	// corruption is the first line in which the kernel says that its memory is spoilt.
	corruption string
	faults     faults
}

// kernelTroubles mark a line in which the kernel reports a fault of its own.
var kernelTroubles = []string{"Kernel panic", "Oops", "BUG:", "kernel BUG at", "general protection fault"}

// boot runs one guest to its end and returns its console and the emulator's exit
// status. Everything the guest prints goes to log.
func boot(command *exec.Cmd, log io.Writer, job func(plan.JobResult)) (console, int, error) {
	fmt.Fprintln(log, strings.Join(command.Args, " "))
	output, input, err := os.Pipe()
	if err != nil {
		return console{}, 0, err
	}
	defer output.Close()
	command.Stdout, command.Stderr = input, input
	// Without it the emulator holds the pipe's end and the caller waits on.
	command.WaitDelay = 5 * time.Second
	err = command.Start()
	input.Close()
	if err != nil {
		return console{}, 0, err
	}
	seen := follow(io.TeeReader(output, log), job)
	err = command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return seen, command.ProcessState.ExitCode(), err
}

// follow reads a console up to its end.
func follow(text io.Reader, job func(plan.JobResult)) console {
	var seen console
	lines := bufio.NewReader(text)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			seen.line(line, job)
		}
		if err != nil {
			return seen
		}
	}
}

func (c *console) line(line string, job func(plan.JobResult)) {
	c.result = nil
	c.figures.line(line)
	c.faults.line(line)
	read := func(prefix string, value any) bool {
		text, ok := strings.CutPrefix(line, prefix)
		if !ok {
			return false
		}
		if err := json.Unmarshal([]byte(text), value); err != nil {
			c.malformed = append(c.malformed, line)
			return false
		}
		return true
	}
	var mode plan.Mode
	var one plan.JobResult
	var note string
	var result plan.Result
	switch {
	case read(plan.ModePrefix, &mode):
		if c.mode == nil {
			c.mode = &mode
		}
	case read(plan.JobPrefix, &one):
		c.faults.end(one)
		c.jobs = append(c.jobs, one)
		job(one)
	case read(plan.NotePrefix, &note):
		c.notes = append(c.notes, note)
	case read(plan.ResultPrefix, &result):
		c.result = &result
	}
	corrupt := corruptionReport.MatchString(line)
	if corrupt && c.corruption == "" {
		c.corruption = line
	}
	trouble := corrupt || slices.ContainsFunc(kernelTroubles, func(mark string) bool { return strings.Contains(line, mark) })
	// At the end the kernel says all of it once more.
	if trouble && !slices.Contains(c.troubles, line) {
		c.troubles = append(c.troubles, line)
	}
}

// runRow fetches, packs, boots and judges one row.
func (r *runner) runRow(ctx context.Context, row Row) (result outcome) {
	began := time.Now()
	result = outcome{row: row}
	defer func() { result.took = time.Since(began) }()
	if ctx.Err() != nil {
		result.surprises = []string{"interrupted"}
		return result
	}
	image, err := r.kernels.image(ctx, row)
	if err != nil {
		result.surprises = []string{err.Error()}
		return result
	}
	jobs, err := r.builder.pack(ctx, r.jobs, row, r.seconds)
	if err != nil {
		result.surprises = []string{err.Error()}
		return result
	}
	began = time.Now()
	trial := newTrial(row, names(jobs))
	for again := names(jobs); len(again) > 0; {
		log := r.logName(row, len(trial.losses))
		result.logs = append(result.logs, log)
		if again, err = r.runGuest(ctx, trial, image, log, named(jobs, again)); err != nil {
			result.surprises = []string{err.Error()}
			return result
		}
	}
	result.console, result.status, result.losses, result.surprises = trial.console, trial.status, trial.losses, trial.surprises
	return result
}

// runGuest boots one guest with the jobs and names those that need another one.
func (r *runner) runGuest(ctx context.Context, trial *trial, image, logName string, jobs []packed) (again []string, err error) {
	row := trial.row
	initramfs, err := r.prepare(ctx, row, jobs)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logName)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r.progress("%s: booting", row.Name)
	limited, stop := context.WithTimeout(ctx, r.timeout)
	defer stop()
	command := r.emulator.command(limited, row, image, initramfs, r.memory, r.niceness)
	seen, status, err := boot(command, log, func(job plan.JobResult) {
		r.progress("%s: %s %s", row.Name, job.Name, describe(job))
	})
	late := ""
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case limited.Err() != nil:
		late = fmt.Sprintf("not done after %v", r.timeout)
	case err != nil:
		return nil, err
	}
	lost := len(trial.losses)
	again = trial.take(names(jobs), seen, status, late)
	for _, one := range trial.losses[lost:] {
		r.progress("%s: %s", row.Name, one.tell(row))
	}
	return again, nil
}
