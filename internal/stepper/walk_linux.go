//go:build amd64 || arm64

package main

import (
	"fmt"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// place is an instruction that the victim is about to run.
type place struct {
	address uint64
	pass    int  // 1 for the first time that it runs it, 2 in a loop's second round
	inside  bool // the kernel must abort a thread that it interrupts here
	behind  bool // the section is over
}

// walker interrupts the victim at one place after the other.
type walker struct {
	*tracee
	area  uint64        // of the victim; 0 while it has announced no section
	alone time.Duration // CPU time of the scenario's operation
}

// maxSteps bounds a walk, in instructions.
const maxSteps = 10_000

// walk single-steps a scenario, uninterrupted as far as the kernel's promise
// goes: it forgets the descriptor. At each instruction it asks the runtime whether a
// debugger may call a function from there, which must be refused. It returns every instruction on the way, from
// the function's first to the one behind the section, or to the last one if the
// function is left before.
func (w *walker) walk(number int, s *section) (places []place, fault string, err error) {
	if _, err := w.line.ask(askPrepare, number); err != nil {
		return nil, "", err
	}
	if err := w.plant(s.Entry); err != nil {
		return nil, "", err
	}
	address, own, err := w.run()
	if err != nil {
		return nil, "", err
	}
	if own {
		return nil, "the operation has not called the section", w.removeAll()
	}
	passes := make(map[uint64]int)
	for begun := false; ; {
		if scenarios[number].refused && !s.holds(address) {
			break
		}
		passes[address]++
		p := place{address: address, pass: passes[address], inside: s.inside(address)}
		p.behind = begun && !p.inside
		begun = begun || p.inside
		places = append(places, p)
		if p.behind || len(places) == maxSteps {
			break
		}
		if p.inside && scenarios[number].refused {
			fault = "the section begins, and the function was to be left before"
		}
		if p.inside {
			if address == s.Start {
				if announced, err := w.announced(s); err != nil {
					return nil, "", err
				} else if !announced {
					fault = "START has not announced the section: rseq_cs does not hold its descriptor"
				}
			}
			if err := w.store(0); err != nil {
				return nil, "", err
			}
		}
		// Behind the section, too, up to its return: the whole function is marked.
		if answer, err := w.callFrom(); err != nil {
			return nil, "", err
		} else if answer != refusedText && fault == "" {
			fault = fmt.Sprintf("a debugger may call from %#x: the runtime answers %q, want %q", address, answer, refusedText)
		}
		r, err := w.step(0)
		if err != nil {
			return nil, "", err
		}
		address = r.PC()
	}
	if _, own, err := w.run(); err != nil || !own {
		return nil, "", fmt.Errorf("after a walk through %s: %w", s.Function, err)
	}
	end, err := w.line.ask(askFinish, number)
	if err != nil {
		return nil, "", err
	}
	got := outcome{victim: end.Result, left: end.Left}
	if want := scenarios[number].alone; got != want {
		fault = fmt.Sprintf("without an interruption: got %+v, want %+v", got, want)
	}
	return places, fault, nil
}

// announced reports whether START, which the victim has just run, has stored the
// descriptor in its area. The first time it finds the area by that: a register
// still points to it.
func (w *walker) announced(s *section) (bool, error) {
	if w.area != 0 {
		word, err := w.readWord(w.area + rseq.OffsetCS)
		return word == s.Descriptor, err
	}
	var r registers
	if err := readRegisters(w.thread, &r); err != nil {
		return false, err
	}
	for _, value := range general(&r) {
		if value%8 != 0 {
			continue
		}
		// Most values are no addresses, and cannot be read.
		if word, err := w.readWord(value + rseq.OffsetCS); err == nil && word == s.Descriptor {
			w.area = value
			return true, nil
		}
	}
	return false, nil
}

// store sets the descriptor that the kernel sees: none lets it forget that the
// victim is in a section.
func (w *walker) store(descriptor uint64) error {
	if w.area == 0 {
		return nil // nothing was announced, which is a fault that has been told
	}
	return w.writeWord(w.area+rseq.OffsetCS, descriptor)
}

// reach lets the victim run up to a place, where it stands as if it had come
// there without a stop. ok is false if it came to the end instead.
func (w *walker) reach(s *section, p place) (ok bool, err error) {
	for pass := 1; ; pass++ {
		if err := w.plant(p.address); err != nil {
			return false, err
		}
		if _, own, err := w.run(); err != nil || own {
			return false, err
		}
		if pass == p.pass {
			break
		}
		// An earlier round of a loop: go past it without being aborted.
		if err := w.store(0); err != nil {
			return false, err
		}
		if _, err := w.step(0); err != nil {
			return false, err
		}
	}
	if p.pass > 1 && p.inside {
		return true, w.store(s.Descriptor)
	}
	return true, nil
}
