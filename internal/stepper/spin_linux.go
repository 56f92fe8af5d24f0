//go:build amd64 || arm64

package main

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// spins is how many times longer than the whole operation takes a victim must
// have spun to count as one that was interrupted there, and not on the way.
const spins = 5

// spinTries bounds how often a victim that was interrupted on the way is sent
// again. It comes there within microseconds.
const spinTries = 100

// timingTries is after how many of them the operation is timed again. On a busy
// machine all runs of a timing may have been slow, and no victim spins for many
// milliseconds: the Go runtime's monitor wakes up and takes its CPU.
const timingTries = 10

// notAborted is how much CPU time a victim that still spins after a preemption has
// had since, when it counts as not aborted. The kernel adds it up in ticks of up
// to 10 ms.
const notAborted = 15 * time.Millisecond

// spinThere lets the victim run up to the place and spin there until another
// thread has had its CPU. Inside of a section it is then at the abort label: it
// was never stopped before.
func (a *attempt) spinThere() (ok bool, err error) {
	for try := range spinTries {
		long := spins * a.alone
		spun, err := a.spin(long)
		if err != nil {
			return false, err
		}
		if spun >= long {
			return true, a.lookThere()
		}
		if err := a.giveUp(); err != nil {
			return false, err
		}
		if try%timingTries == timingTries-1 {
			if err := a.timeAgain(); err != nil {
				return false, err
			}
		}
	}
	a.aborted = false
	a.fault("in %d tries it never spun for %v there: nothing was shown", spinTries, spins*a.alone)
	return false, nil
}

// timeAgain times the scenario's operation again, between two runs.
func (a *attempt) timeAgain() error {
	alone, err := a.timeAlone(a.number, a.section)
	if err != nil {
		return err
	}
	a.walker.alone = min(a.walker.alone, alone)
	a.begun, err = a.line.ask(askPrepare, a.number)
	return err
}

// timeAlone returns the CPU time that a scenario's operation takes without an
// interruption, from changed code on, as when it spins: the shortest of some runs.
func (w *walker) timeAlone(number int, s *section) (shortest time.Duration, err error) {
	const runs = 5
	for range runs {
		if _, err := w.line.ask(askPrepare, number); err != nil {
			return 0, err
		}
		begin, err := w.cpuTime()
		if err != nil {
			return 0, err
		}
		if err := w.plant(s.Abort); err != nil {
			return 0, err
		}
		for own := false; !own; {
			if _, own, err = w.run(); err != nil {
				return 0, err
			}
		}
		end, err := w.cpuTime()
		if err := errors.Join(err, w.removeAll()); err != nil {
			return 0, err
		}
		if _, err := w.line.ask(askFinish, number); err != nil {
			return 0, err
		}
		if took := end - begin; shortest == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}

// spin sends the victim to the place, lets it spin there for some CPU time, and
// has another thread take its CPU. It returns how long the victim has spun; it is
// stopped then.
func (a *attempt) spin(least time.Duration) (spun time.Duration, err error) {
	if !a.place.inside {
		// A stop does no harm outside of the section, and the jump must not be there
		// before: it is longer than a return, so it covers the begin of what follows,
		// which may be on the way. An abort may have sent the victim elsewhere.
		if ok, err := a.reach(a.section, a.place); err != nil || !ok {
			a.returned = true
			return 0, errors.Join(err, a.removeAll())
		}
	}
	begin, err := a.cpuTime()
	if err != nil {
		return 0, err
	}
	switches, err := a.involuntarySwitches()
	if err != nil {
		return 0, err
	}
	original, err := a.patch(a.place.address, spin)
	if err != nil {
		return 0, err
	}
	if a.place.inside {
		if err := a.plant(a.section.Abort); err != nil {
			return 0, err
		}
	}
	if err := a.resume(unix.PTRACE_CONT, 0); err != nil {
		return 0, err
	}
	if err := a.letSpin(begin + least); err != nil {
		return 0, err
	}
	if _, err := a.patch(a.place.address, original); err != nil {
		return 0, err
	}
	end, err := a.cpuTime()
	if err != nil {
		return 0, err
	}
	after, err := a.involuntarySwitches()
	if after == switches || a.astray {
		return 0, err // aborted, but not by a preemption; or stopped on the way
	}
	return end - begin, err
}

// letSpin waits until the victim has had so much CPU time, has another thread
// take its CPU, and stops it. Something else may be faster.
func (a *attempt) letSpin(until time.Duration) error {
	for {
		trapped, err := a.trapsWithin(200 * time.Microsecond)
		if err != nil {
			return err
		}
		if trapped {
			return a.atAbort()
		}
		if now, err := a.cpuTime(); err != nil {
			return err
		} else if now >= until {
			break
		}
	}
	return a.stopSpinning()
}

// stopSpinning has another thread take the victim's CPU and stops the victim:
// inside of a section behind the abort label, to which the preemption must have
// sent it, outside of it where it spins on.
func (a *attempt) stopSpinning() error {
	// The first time it may not have been there yet, the second time it is.
	for range 2 {
		// The thread that answers has but this CPU.
		if _, err := a.line.ask(askLook, 0); err != nil {
			return err
		}
		if !a.place.inside {
			return a.halt()
		}
		if aborted, err := a.waitForAbort(); err != nil || aborted {
			return err
		}
	}
	a.aborted = false
	a.fault("a preemption has not aborted it: it spins on")
	return errors.Join(a.removeAll(), a.halt())
}

// halt stops the victim where it spins.
func (a *attempt) halt() error {
	address, err := a.tracee.halt()
	a.astray = address != a.place.address
	return err
}

// waitForAbort waits until the victim comes to the abort label, or has had the
// CPU for long enough to have come there.
func (a *attempt) waitForAbort() (bool, error) {
	begin, err := a.cpuTime()
	if err != nil {
		return false, err
	}
	for {
		trapped, err := a.trapsWithin(time.Millisecond)
		if err != nil {
			return false, err
		}
		if trapped {
			return true, a.atAbort()
		}
		if now, err := a.cpuTime(); err != nil || now-begin > notAborted {
			return false, err
		}
	}
}

// atAbort takes the victim past the abort label, where it has stopped.
func (a *attempt) atAbort() error {
	a.wanted, a.hits = 1, 1
	if _, own, err := a.settle(); err != nil || own {
		return errors.Join(errors.New("a spinning victim came to the end"), err)
	}
	_, err := a.step(0)
	return err
}

// giveUp ends a run that has shown nothing, and prepares another one.
func (a *attempt) giveUp() error {
	for !a.returned {
		if err := a.runOn(); err != nil {
			return err
		}
	}
	a.hits, a.wanted, a.returned, a.astray, a.faults = 0, 0, false, false, nil
	if _, err := a.line.ask(askFinish, a.number); err != nil {
		return err
	}
	begun, err := a.line.ask(askPrepare, a.number)
	a.begun = begun
	return err
}
