//go:build amd64 || arm64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// interruption is a way to make the kernel abort the victim.
type interruption int

const (
	// A signal is delivered where the victim stands, and once more in the restart.
	signal interruption = iota

	// While the victim stands, which takes its CPU away from it, another thread of
	// the program runs there and works on the same arena.
	intrusion

	// The victim runs: it spins at the place until another thread gets the CPU.
	preemption

	interruptionCount
)

func (i interruption) String() string {
	return [...]string{"signal", "intrusion", "preemption"}[i]
}

// attempt is one run of a scenario with an interruption at a place.
type attempt struct {
	*walker
	number   int
	scenario *scenario
	section  *section
	place    place
	how      interruption

	begun    reply  // what it was before the victim began
	effects  string // what it must be until the victim commits
	counted  uint64 // aborts of the program, when the victim stood there
	intruder reply
	wanted   int  // aborts by us
	hits     int  // arrivals at the abort label
	returned bool // the victim's operation is over
	chance   bool // something may have interrupted it besides
	astray   bool // it was stopped, but not where it was to spin
	aborted  bool
	faults   []string
}

// chances is how many attempts in a row may have been disturbed. The kernel may
// abort a section whenever it likes: on a busy machine it preempts, and up to
// Linux 6.18 it also aborts a section that it comes back to from work of its own,
// such as the scan for unused ids ten times a second, if there was ever an event
// outside of a section (kernel/rseq.c, rseq_need_restart). In an emulator, where
// changed code must be translated anew, it happens to one attempt in ten.
const chances = 20

// try makes attempts until one was not disturbed. What is always wrong is no
// chance.
func (w *walker) try(number int, s *section, p place, how interruption) (a *attempt, err error) {
	for range chances {
		a = &attempt{walker: w, number: number, scenario: &scenarios[number], section: s, place: p, how: how}
		if err := a.run(); err != nil || !a.chance {
			return a, err
		}
	}
	return a, nil
}

func (a *attempt) fault(format string, arguments ...any) {
	a.faults = append(a.faults, fmt.Sprintf(format, arguments...))
}

// run makes the attempt. An error ends the whole program; what is wrong with the
// section is a fault.
func (a *attempt) run() (err error) {
	if a.begun, err = a.line.ask(askPrepare, a.number); err != nil {
		return err
	}
	a.aborted = a.place.inside // as far as is known
	come := a.comeThere
	if a.how == preemption {
		come = a.spinThere
	}
	if ok, err := come(); err != nil || !ok {
		return err
	}
	interrupt := a.intrude
	if a.how == signal {
		interrupt = a.deliverTwice
	}
	if err := interrupt(); err != nil {
		return err
	}
	for !a.returned {
		if err := a.runOn(); err != nil {
			return err
		}
	}
	return a.finish()
}

// comeThere brings the victim to the place.
func (a *attempt) comeThere() (ok bool, err error) {
	ok, err = a.reach(a.section, a.place)
	if err != nil {
		return false, err
	}
	if ok {
		return true, a.lookThere()
	}
	a.aborted = false
	a.chance = a.scenario.once // aborted before, it took the slow way
	a.fault("it did not come there")
	if err := a.removeAll(); err != nil {
		return false, err
	}
	_, err = a.line.ask(askFinish, a.number)
	return false, err
}

// lookThere checks that what has taken effect where the victim stands is nothing
// before the commit, and something behind it.
func (a *attempt) lookThere() error {
	now, err := a.line.ask(askLook, 0)
	if err != nil {
		return err
	}
	committed, changed := a.place.address == a.section.End, now.Effects != a.begun.Effects
	switch {
	case committed && !changed && !a.scenario.idle:
		a.fault("behind the commit nothing has taken effect: it still is %s", now.Effects)
	case changed && !committed:
		a.fault("before the commit it changed from %s to %s", a.begun.Effects, now.Effects)
	}
	a.effects, a.counted = now.Effects, now.Aborts
	return nil
}

// deliverTwice delivers a signal, and, if that must make the section start again,
// once more when the victim comes there: a restart is a section, too.
func (a *attempt) deliverTwice() error {
	if err := a.deliver(); err != nil || !a.place.inside || a.scenario.once {
		return err
	}
	if err := a.runOn(); err != nil || a.returned {
		return err
	}
	if ok, err := a.reach(a.section, a.place); err != nil || !ok {
		a.fault("after the first abort it did not come there again")
		a.returned = true
		return errors.Join(err, a.removeAll())
	}
	return a.deliver()
}

// deliver delivers a signal where the victim stands. The frame of its handler
// tells to where the kernel moved the thread before: so it was the signal's doing.
func (a *attempt) deliver() error {
	// What the Go runtime preempts goroutines with. Nobody has asked for that, so
	// the handler returns.
	r, err := a.step(unix.SIGURG)
	if err != nil {
		return err
	}
	interrupted, err := a.readWord(third(&r) + fromContext)
	if err != nil {
		return err
	}
	want := a.place.address
	if a.place.inside {
		want = a.section.Abort
		a.wanted++
	}
	if interrupted != want {
		a.fault("after the signal's handler it goes on at %#x, want %#x", interrupted, want)
		a.aborted = false
	}
	return nil
}

// intrude lets the intruder run its operation while the victim stands.
func (a *attempt) intrude() (err error) {
	if a.intruder, err = a.line.ask(askIntrude, 0); err != nil {
		return err
	}
	a.effects, a.counted = a.intruder.Effects, a.intruder.Aborts
	if a.place.inside {
		a.wanted = 1
	}
	if a.area == 0 {
		return nil
	}
	var id [4]byte
	if err := a.read(a.area+a.hello.Field, id[:]); err != nil {
		return err
	}
	if id := int(binary.LittleEndian.Uint32(id[:])); !sameIDs([]int{id}, a.intruder.IDs) {
		a.fault("the victim stood in arena %d, the intruder worked on %d", id, a.intruder.IDs)
	}
	return nil
}

// sameIDs reports whether all ids are one and the same.
func sameIDs(some, others []int) bool {
	for _, id := range append(some[:len(some):len(some)], others...) {
		if id != some[0] {
			return false
		}
	}
	return true
}

// runOn lets the victim run up to the abort label, where nothing of its own may
// have taken effect, or to the end of its operation.
func (a *attempt) runOn() error {
	if err := a.plant(a.section.Abort); err != nil {
		return err
	}
	_, own, err := a.tracee.run()
	if err != nil || own {
		a.returned = true
		return errors.Join(err, a.removeAll())
	}
	a.hits++
	now, err := a.line.ask(askLook, 0)
	if err != nil {
		return err
	}
	if now.Effects != a.effects {
		a.fault("at the abort label it is %s, and it was %s", now.Effects, a.effects)
	}
	// Past the label, or the next trap there would be met at once.
	_, err = a.step(0)
	return err
}

// finish compares what came out with what must come out.
func (a *attempt) finish() error {
	end, err := a.line.ask(askFinish, a.number)
	if err != nil {
		return err
	}
	a.judgeAborts(int(end.Aborts - a.counted))
	got, want := outcome{end.Result, a.intruder.Result, end.Left}, a.scenario.alone
	if a.how != signal {
		want = a.scenario.before
		if a.place.behind {
			want = a.scenario.after
		}
		if !sameIDs(end.IDs, a.intruder.IDs) {
			a.fault("the victim's arena was %d, and the intruder's %d (before and after the operation)", end.IDs, a.intruder.IDs)
		}
	}
	if got != want {
		a.fault("got %+v, want %+v", got, want)
	}
	return nil
}

// judgeAborts judges the aborts: those seen at the abort label, and those that
// the program has counted.
func (a *attempt) judgeAborts(counted int) {
	switch {
	case a.hits < a.wanted:
		a.aborted = false
		a.fault("it was not aborted, it went on where it was (%d times at the abort label, want %d)", a.hits, a.wanted)
	case a.hits > a.wanted:
		a.chance = true
		a.fault("it came to the abort label %d times, want %d", a.hits, a.wanted)
	case counted > a.hits: // in another section
		a.chance = true
		a.fault("the program counted %d aborts, %d were seen", counted, a.hits)
	case counted < a.hits:
		a.fault("the program counted %d aborts, %d were seen", counted, a.hits)
	}
}
