package litmus

import (
	"maps"
	"slices"
)

// initial is the thread of the writes that memory begins with.
const initial = -1

// execution is one way in which the accesses of all threads fit together.
type execution struct {
	x86    bool
	events []event // the initial writes, then those of each thread in its order
	first  []int   // of each thread: its first event
	from   []int   // of each read: the write that it reads
	place  []int   // of each write: its position among the writes to its location
}

// happens reports whether the test's condition can come true, and whether it can fail to:
// a test of which no execution is allowed shows nothing.
func (l *litmusTest) happens() (can, canFail bool, err error) {
	values := make(map[string]map[int]bool)
	for location, number := range l.memory {
		values[location] = map[int]bool{number: true}
	}
	// What can be loaded is what was there or what some run stores; each thread may add to
	// what another has stored.
	runs := make([][]*run, len(l.code))
	for range len(l.code) + 1 {
		for number := range l.code {
			if runs[number], err = l.runsOf(number, values); err != nil {
				return false, false, err
			}
		}
		for _, r := range slices.Concat(runs...) {
			for _, e := range r.events {
				if e.kind == 'W' {
					values[e.location][e.value] = true
				}
			}
		}
	}
	chosen := make([]*run, len(runs))
	var choose func(number int)
	choose = func(number int) {
		if number == len(runs) {
			l.combine(chosen, &can, &canFail)
			return
		}
		for _, chosen[number] = range runs[number] {
			choose(number + 1)
		}
	}
	choose(0)
	return can, canFail, nil
}

// combine tries all ways in which these runs fit together.
func (l *litmusTest) combine(runs []*run, can, canFail *bool) {
	x := &execution{x86: l.arch == "X86"}
	for _, location := range slices.Sorted(maps.Keys(l.memory)) {
		x.events = append(x.events, event{thread: initial, kind: 'W', location: location, value: l.memory[location], pair: -1})
	}
	final := outcome{memory: make(map[string]int)}
	for _, r := range runs {
		begin := len(x.events)
		x.first = append(x.first, begin)
		for _, e := range r.events {
			if e.pair >= 0 {
				e.pair += begin
			}
			x.events = append(x.events, e)
		}
		registers := make(map[string]int)
		for name, v := range r.registers {
			registers[name] = v.number
		}
		final.registers = append(final.registers, registers)
	}
	x.from, x.place = make([]int, len(x.events)), make([]int, len(x.events))
	x.chooseFrom(0, func() {
		x.choosePlaces(slices.Sorted(maps.Keys(l.memory)), func() {
			for i, e := range x.events {
				if e.kind == 'W' && x.isLast(i) {
					final.memory[e.location] = e.value
				}
			}
			holds := l.exists(final)
			if holds && *can || !holds && *canFail || !x.isAllowed() {
				return
			}
			*can = *can || holds
			*canFail = *canFail || !holds
		})
	})
}

// chooseFrom tries each write with the right value for each read from the i-th event on.
func (x *execution) chooseFrom(i int, then func()) {
	if i == len(x.events) {
		then()
		return
	}
	if x.events[i].kind != 'R' {
		x.chooseFrom(i+1, then)
		return
	}
	for w, e := range x.events {
		if e.kind == 'W' && e.location == x.events[i].location && e.value == x.events[i].value {
			x.from[i] = w
			x.chooseFrom(i+1, then)
		}
	}
}

// choosePlaces tries each order of the writes to each of these locations.
func (x *execution) choosePlaces(locations []string, then func()) {
	if len(locations) == 0 {
		then()
		return
	}
	var writes []int // but for the initial one, which is the first
	for i, e := range x.events {
		if e.kind == 'W' && e.location == locations[0] && e.thread != initial {
			writes = append(writes, i)
		}
	}
	var permute func(n int)
	permute = func(n int) {
		if n == len(writes) {
			for position, w := range writes {
				x.place[w] = position + 1
			}
			x.choosePlaces(locations[1:], then)
			return
		}
		for i := n; i < len(writes); i++ {
			writes[n], writes[i] = writes[i], writes[n]
			permute(n + 1)
			writes[n], writes[i] = writes[i], writes[n]
		}
	}
	permute(0)
}

func (x *execution) isLast(w int) bool {
	for i, e := range x.events {
		if e.kind == 'W' && e.location == x.events[w].location && x.place[i] > x.place[w] {
			return false
		}
	}
	return true
}

// before is a relation between events.
type before [][]bool

func (x *execution) relation(holds func(a, b int) bool) before {
	r := make(before, len(x.events))
	for a := range r {
		r[a] = make([]bool, len(x.events))
		for b := range r[a] {
			r[a][b] = a != b && holds(a, b)
		}
	}
	return r
}

// isAcyclic closes the relation.
func (r before) isAcyclic() bool {
	for k := range r {
		for a := range r {
			if r[a][k] {
				for b := range r {
					r[a][b] = r[a][b] || r[k][b]
				}
			}
		}
	}
	for a := range r {
		if r[a][a] {
			return false
		}
	}
	return true
}

// program reports whether a comes before b in a thread.
func (x *execution) program(a, b int) bool {
	return x.events[a].thread == x.events[b].thread && x.events[a].thread != initial && a < b
}

func (x *execution) isSame(a, b int) bool {
	return x.events[a].kind != 'F' && x.events[b].kind != 'F' && x.events[a].location == x.events[b].location
}

// observes reports whether b sees a, or comes behind what a sees, in memory: a write and
// who reads it, two writes, or a read and a write behind what it reads.
func (x *execution) observes(a, b int) bool {
	if !x.isSame(a, b) {
		return false
	}
	switch string([]byte{x.events[a].kind, x.events[b].kind}) {
	case "WR":
		return x.from[b] == a
	case "WW":
		return x.place[a] < x.place[b]
	case "RW":
		return x.place[x.from[a]] < x.place[b]
	}
	return false
}

// isAllowed reports whether the memory model allows the execution.
func (x *execution) isAllowed() bool {
	// Each location alone is as if all were in order.
	if !x.relation(func(a, b int) bool { return x.program(a, b) && x.isSame(a, b) || x.observes(a, b) }).isAcyclic() {
		return false
	}
	// Nothing comes between the halves of a read-modify-write.
	for i, e := range x.events {
		if e.kind == 'R' && e.pair >= 0 {
			for w := range x.events {
				if x.events[w].kind == 'W' && w != e.pair && x.isSame(w, i) && x.place[w] > x.place[x.from[i]] && x.place[w] < x.place[e.pair] {
					return false
				}
			}
		}
	}
	order := x.armOrder
	if x.x86 {
		order = x.x86Order
	}
	return x.relation(func(a, b int) bool {
		if x.events[a].thread != x.events[b].thread || x.events[a].thread == initial {
			return x.observes(a, b)
		}
		return order(a, b)
	}).isAcyclic()
}

// between reports whether some event between a and b in their thread is one.
func (x *execution) between(a, b int, is func(e *event) bool) bool {
	for i := a + 1; i < b; i++ {
		if is(&x.events[i]) {
			return true
		}
	}
	return false
}

// x86Order is what a thread keeps in order: all but a write and a later read, unless a
// barrier or an instruction that locks is between or one of them.
func (x *execution) x86Order(a, b int) bool {
	if !x.program(a, b) {
		return false
	}
	p, q := &x.events[a], &x.events[b]
	if p.kind == 'F' || q.kind == 'F' {
		return false
	}
	return p.kind != 'W' || q.kind != 'R' || p.full || q.full || x.between(a, b, func(e *event) bool { return e.kind == 'F' || e.full })
}

// armOrder is what a thread of Armv8 keeps in order (lob of aarch64.cat).
func (x *execution) armOrder(a, b int) bool {
	if !x.program(a, b) {
		return false
	}
	p, q := &x.events[a], &x.events[b]
	if p.kind == 'F' || q.kind == 'F' {
		return false
	}
	source := set(0) // a as a read of its thread
	if p.kind == 'R' {
		source = 1 << (a - x.first[p.thread])
	}
	hasAddress := func(e *event) bool { return e.address&source != 0 }
	switch {
	// Dependencies: of address or data; of control or of an address before, to a write.
	case q.address&source != 0, q.data&source != 0:
		return true
	case q.kind == 'W' && (q.control&source != 0 || x.between(a, b, hasAddress)):
		return true
	// A write that the own thread reads through a dependency.
	case q.kind == 'R' && x.throughWrite(a, b, source):
		return true
	// A write behind an access to the same location; an atomic read-modify-write.
	case q.kind == 'W' && x.isSame(a, b), p.pair == b:
		return true
	// An acquire behind the write of a read-modify-write that it reads.
	case p.kind == 'W' && p.pair >= 0 && q.kind == 'R' && q.acquire && x.from[b] == a:
		return true
	// Barriers, acquires and releases.
	case p.kind == 'R' && p.acquire, q.kind == 'W' && q.release:
		return true
	case p.kind == 'W' && p.release && q.kind == 'R' && q.acquire:
		return true
	// Both halves of a read-modify-write with acquire and release.
	case p.full:
		return true
	}
	return x.between(a, b, func(e *event) bool {
		switch {
		case e.barrier == "ISH":
			return true
		case e.barrier == "ISHLD":
			return p.kind == 'R'
		case e.barrier == "ISHST":
			return p.kind == 'W' && q.kind == 'W'
		}
		return e.kind == 'R' && e.full && e.pair >= 0
	})
}

// throughWrite reports whether b reads a write of its thread that depends on a.
func (x *execution) throughWrite(a, b int, source set) bool {
	w := x.from[b]
	return x.program(a, w) && w < b && (x.events[w].address|x.events[w].data)&source != 0
}
