package litmus

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// event is an access to memory or a barrier.
type event struct {
	thread   int
	kind     byte // 'R', 'W', or 'F' for a barrier
	location string
	value    int

	acquire, release bool
	full             bool // x86: of an instruction that locks; Armv8: a read of one with acquire and release
	pair             int  // of a read-modify-write: the other event of its thread; else -1
	barrier          string

	address, data, control set // reads of its thread that it depends on
}

// set is a set of events of a thread, by their numbers.
type set uint64

func (s set) has(i int) bool { return s>>i&1 != 0 }

// value is what a register holds: a number, or the address of a location, and the reads
// that it comes from.
type value struct {
	number   int
	location string
	from     set
}

// run is one way through the code of a thread.
type run struct {
	events    []event
	registers map[string]value
	control   set
	exclusive int // event of the last load-exclusive, or -1
}

func (r *run) clone() *run {
	return &run{slices.Clone(r.events), maps.Clone(r.registers), r.control, r.exclusive}
}

func (r *run) add(e event) int {
	e.control = r.control
	r.events = append(r.events, e)
	return len(r.events) - 1
}

// thread is the code of one thread, with what its loads may return.
type thread struct {
	number int
	code   []string
	labels map[string]int
	values map[string]map[int]bool // by location
	runs   []*run
	err    error
}

// runsOf returns all ways through the code of a thread, if each load may return each of
// the values of its location.
func (l *litmusTest) runsOf(number int, values map[string]map[int]bool) ([]*run, error) {
	th := &thread{number: number, code: l.code[number], labels: make(map[string]int), values: values}
	for i, text := range th.code {
		if label, ok := strings.CutSuffix(text, ":"); ok {
			th.labels[label] = i
		}
	}
	begin := &run{registers: make(map[string]value), exclusive: -1}
	for register, location := range l.addresses[number] {
		begin.registers[register] = value{location: location}
	}
	step := th.armStep
	if l.arch == "X86" {
		step = th.x86Step
	}
	th.walk(0, begin, step)
	return th.runs, th.err
}

// next is where a run goes on, and how.
type next struct {
	at  int
	run *run
}

func (th *thread) walk(at int, r *run, step func(at int, r *run) []next) {
	if at >= len(th.code) {
		th.runs = append(th.runs, r)
		return
	}
	if strings.HasSuffix(th.code[at], ":") {
		th.walk(at+1, r, step)
		return
	}
	for _, n := range step(at, r) {
		th.walk(n.at, n.run, step)
	}
}

func (th *thread) fail(text string) []next {
	if th.err == nil {
		th.err = fmt.Errorf("P%d: %q is not known", th.number, text)
	}
	return nil
}

// load makes a run for each value that a load may return.
func (th *thread) load(at int, r *run, e event, target string, also func(r *run, read int, number int)) (all []next) {
	e.thread, e.kind, e.pair = th.number, 'R', -1
	for _, number := range slices.Sorted(maps.Keys(th.values[e.location])) {
		n := r.clone()
		e.value = number
		i := n.add(e)
		if target != "" {
			n.registers[target] = value{number: number, from: 1 << i}
		}
		if also != nil {
			also(n, i, number)
		}
		all = append(all, next{at + 1, n})
	}
	return all
}

func (th *thread) store(r *run, e event) int {
	e.thread, e.kind = th.number, 'W'
	if e.pair == 0 {
		e.pair = -1
	}
	return r.add(e)
}

// storeOf completes a read-modify-write.
func (th *thread) storeOf(r *run, read int, e event) {
	w := th.store(r, e)
	r.events[w].pair, r.events[read].pair = read, w
}

var operands = strings.NewReplacer("[", "", "]", "", ",", " ")

// armStep does one instruction of Armv8.
func (th *thread) armStep(at int, r *run) []next {
	text := th.code[at]
	f := strings.Fields(operands.Replace(text))
	on := func() []next { return []next{{at + 1, r}} }
	if f[0] == "DMB" {
		r.add(event{thread: th.number, kind: 'F', barrier: f[1], pair: -1})
		return on()
	}
	read := func(i int) value {
		if n, ok := strings.CutPrefix(f[i], "#"); ok {
			number, err := strconv.Atoi(n)
			if err != nil {
				th.fail(text)
			}
			return value{number: number}
		}
		return r.registers[registerName(f[i])]
	}
	last := read(len(f) - 1)
	place := event{location: last.location, address: last.from}
	if len(f) > 2 && strings.Contains(text, "[") && last.location == "" {
		return th.fail(text)
	}
	switch f[0] {
	case "MOV":
		r.registers[registerName(f[1])] = read(2)
		return on()
	case "ADD", "EOR":
		a, b := read(2), read(3)
		result := value{from: a.from | b.from, location: a.location + b.location}
		if result.number = a.number + b.number; f[0] == "EOR" {
			result.number, result.location = a.number^b.number, ""
		}
		if result.location != "" && (f[0] == "EOR" || result.number != 0) {
			return th.fail(text) // an address of nothing
		}
		r.registers[registerName(f[1])] = result
		return on()
	case "CBZ", "CBNZ":
		v := read(1)
		r.control |= v.from
		if (v.number == 0) == (f[0] == "CBZ") {
			return []next{{th.labels[f[2]], r}}
		}
		return on()
	case "LDR", "LDRB", "LDAR", "LDXR", "LDAXR":
		place.acquire = strings.HasPrefix(f[0], "LDA")
		return th.load(at, r, place, registerName(f[1]), func(r *run, i, _ int) {
			if strings.HasSuffix(f[0], "XR") {
				r.exclusive = i
			}
		})
	case "STR", "STRB", "STLR":
		v := read(1)
		place.value, place.data, place.release = v.number, v.from, f[0] == "STLR"
		th.store(r, place)
		return on()
	case "STXR", "STLXR":
		failed := r.clone()
		failed.registers[registerName(f[1])] = value{number: 1}
		v := read(2)
		place.value, place.data, place.release = v.number, v.from, f[0] == "STLXR"
		if r.exclusive < 0 {
			return th.fail(text)
		}
		th.storeOf(r, r.exclusive, place)
		r.registers[registerName(f[1])] = value{}
		return []next{{at + 1, r}, {at + 1, failed}}
	case "LDADDAL", "LDSETAL", "STCLR", "CASAL":
		operand, target := read(1), ""
		expected := value{}
		switch f[0] {
		case "LDADDAL", "LDSETAL":
			target = registerName(f[2])
		case "CASAL":
			expected, operand, target = read(1), read(2), registerName(f[1])
		}
		place.acquire = f[0] != "STCLR"
		place.full = place.acquire
		return th.load(at, r, place, target, func(r *run, i, number int) {
			w := event{location: place.location, address: last.from, data: operand.from | 1<<i, release: place.acquire, full: place.full}
			switch f[0] {
			case "LDADDAL":
				w.value = number + operand.number
			case "LDSETAL":
				w.value = number | operand.number
			case "STCLR":
				w.value = number &^ operand.number
			case "CASAL":
				if number != expected.number {
					r.events[i].full = false
					return
				}
				w.value, w.data = operand.number, operand.from
			}
			th.storeOf(r, i, w)
		})
	}
	return th.fail(text)
}

// x86Step does one instruction of x86.
func (th *thread) x86Step(at int, r *run) []next {
	text := th.code[at]
	f := strings.Fields(operands.Replace(text))
	toMemory := len(f) > 1 && strings.Contains(text, "["+f[1]+"]")
	switch {
	case f[0] == "MFENCE":
		r.add(event{thread: th.number, kind: 'F', barrier: "MFENCE", pair: -1})
	case f[0] == "MOV" && !toMemory && strings.Contains(text, "["):
		return th.load(at, r, event{location: f[2]}, f[1], nil)
	case f[0] == "MOV":
		v := r.registers[f[2]]
		if n, ok := strings.CutPrefix(f[2], "$"); ok {
			number, err := strconv.Atoi(n)
			if err != nil {
				return th.fail(text)
			}
			v = value{number: number}
		}
		if toMemory {
			th.store(r, event{location: f[1], value: v.number, data: v.from})
		} else {
			r.registers[f[1]] = v
		}
	case f[0] == "XCHG" && toMemory:
		v := r.registers[f[2]]
		return th.load(at, r, event{location: f[1], full: true}, f[2], func(r *run, i, _ int) {
			th.storeOf(r, i, event{location: f[1], value: v.number, data: v.from, full: true})
		})
	default:
		return th.fail(text)
	}
	return []next{{at + 1, r}}
}
