package apimodel

import (
	"encoding/json"
	"runtime/debug"
	"strings"

	"github.com/vcpualloc/vcpualloc/alloc"
)

var viewActions = []action{
	{"views", 1, (*world).views},
	{"balance", 1, (*world).balance},
}

// views looks at Stats in each of its forms.
func (w *world) views(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	s := m.a.Stats()
	figures := make(map[string]int64)
	for name, value := range s.Figures() {
		_, twice := figures[name]
		check(!twice && strings.HasPrefix(name, "/"), "a figure with the name %q, there before: %t", name, twice)
		figures[name] = value
	}
	check(figures["/memory/live:bytes"] == s.Live && figures["/memory/charged:bytes"] == s.Charged && figures["/memory/limit:bytes"] == s.Limit,
		"Figures of %s: %v, not those of\n%v", m.name, figures, s)
	check(strings.HasPrefix(s.String(), m.name+": "), "Stats of %s as text: %v", m.name, s)
	text, err := json.Marshal(s)
	check(err == nil, "Stats in JSON: %v", err)
	var back alloc.Stats
	err = json.Unmarshal(text, &back)
	check(err == nil, "Stats from JSON: %v", err)
	for i, c := range s.Classes {
		if c.Spans == 0 {
			s.Classes[i] = back.Classes[i] // only those in use are in the list
			check(back.Classes[i].Live == 0 && back.Classes[i].Spans == 0, "class %d from JSON: %+v", i, back.Classes[i])
		}
	}
	check(back == s, "Stats from JSON:\n%+v\nwant\n%+v", back, s)
}

// balance holds Go's memory limit for a moment.
func (w *world) balance(o op) {
	before := debug.SetMemoryLimit(-1)
	for _, total := range []int64{-1, 1, 8<<20 - 1} {
		stop, err := alloc.BalanceMemoryLimit(total)
		check(stop == nil && err != nil, "BalanceMemoryLimit of %d bytes: %v", total, err)
	}
	stop, err := alloc.BalanceMemoryLimit(1 << 40)
	check(err == nil, "BalanceMemoryLimit: %v", err)
	limit := debug.SetMemoryLimit(-1)
	again, errAgain := alloc.BalanceMemoryLimit(1 << 40)
	stop()
	stop()
	check(again == nil && errAgain != nil, "a second BalanceMemoryLimit: %v", errAgain)
	check(limit <= 1<<40 && limit > 0, "BalanceMemoryLimit of 1 TiB sets %d bytes", limit)
	after := debug.SetMemoryLimit(-1)
	check(after == before, "Go's limit is %d after BalanceMemoryLimit, %d before", after, before)
}
