//go:build amd64 || arm64

package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// What the tracer asks of the traced program, over a pipe. It is answered by a
// thread that is not traced, so also while the victim is stopped.
const (
	askBegin   = "begin"   // the victim is traced from now on
	askPrepare = "prepare" // make a new world for a scenario
	askLook    = "look"
	askIntrude = "intrude" // let the intruder run its operation
	askFinish  = "finish"  // the victim has returned: what came out?
)

type request struct {
	Do       string
	Scenario int
}

type reply struct {
	Error string `json:",omitempty"`

	// At the start, unasked.
	Mode, Owner, Reason string    `json:",omitempty"`
	Victim              int       `json:",omitempty"` // thread id
	Field               uint64    `json:",omitempty"` // offset of the indexing id in the area
	Sections            []section `json:",omitempty"`
	DebugCall           uint64    `json:",omitempty"` // address of runtime.debugCallV2

	Effects string `json:",omitempty"` // world.look
	Aborts  uint64 // of the process so far

	Result string `json:",omitempty"` // of the intruder, or of the victim
	Left   string `json:",omitempty"`
	IDs    []int  `json:",omitempty"` // of the thread before and after its operation
}

// section is a section of the running variant, in addresses of the traced program.
type section struct {
	Name       string // of the table, without the variant
	Function   string
	Entry      uint64
	Descriptor uint64 // where the descriptor is
	Start      uint64 // first instruction behind START
	End        uint64 // first instruction behind COMMIT
	Abort      uint64
}

// inside reports whether the kernel aborts a thread that it interrupts there.
func (s *section) inside(address uint64) bool { return address >= s.Start && address < s.End }

// holds reports whether an address lies in the function, in front of its abort label.
func (s *section) holds(address uint64) bool { return address >= s.Entry && address < s.Abort }

// line is the tracer's end of the pipes.
type line struct {
	out *json.Encoder
	in  *json.Decoder
}

func newLine(out io.Writer, in io.Reader) *line {
	return &line{json.NewEncoder(out), json.NewDecoder(in)}
}

func (l *line) ask(do string, scenario int) (reply, error) {
	if err := l.out.Encode(request{do, scenario}); err != nil {
		return reply{}, fmt.Errorf("asking the traced program to %s: %w", do, err)
	}
	return l.hear()
}

func (l *line) hear() (r reply, err error) {
	if err := l.in.Decode(&r); err != nil {
		return reply{}, fmt.Errorf("the traced program does not answer: %w", err)
	}
	if r.Error != "" {
		return reply{}, fmt.Errorf("the traced program: %s", r.Error)
	}
	return r, nil
}
