//go:build amd64 || arm64

package main

import "github.com/vcpualloc/vcpualloc/rseqcs"

// scenario is one way through a section. Each section has all ways that its
// code can take; a section of the table without a scenario is an error.
type scenario struct {
	section  string // its name in the table
	name     string
	idle     bool // the commit stores what was there
	once     bool // an abort sends it the slow way, instead of to the start again
	refused  bool // the function is left before START
	start    func(*world)
	victim   func(*world) string // runs the section once, on the traced thread
	intruder func(*world) string // another thread's operation on the same arena

	alone  outcome // the victim, interrupted or not, without an intruder
	before outcome // the intruder takes effect before the victim
	after  outcome // the intruder takes effect after the victim
}

// outcome is what two operations returned and what they left in the arena.
type outcome struct {
	victim, intruder, left string
}

var scenarios = []scenario{
	{
		section: "pop", name: "an object", start: holding(8, "abc"), victim: pop, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "pop", name: "nothing", start: holding(8, ""), victim: pop, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"none", "pushed", "y"},
	},
	{
		section: "push", name: "room", start: holding(8, "ab"), victim: push('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "push", name: "full", start: holding(2, "ab"), victim: push('x'), intruder: pop,
		alone: outcome{"full", "", "ab"}, before: outcome{"pushed", "b", "ax"}, after: outcome{"full", "b", "a"},
	},
	{
		section: "push", name: "the newest again", start: holding(8, "abx"), victim: push('x'), intruder: pop,
		alone: outcome{"duplicate", "", "abx"}, before: outcome{"pushed", "x", "abx"}, after: outcome{"duplicate", "x", "ab"},
	},
	{
		section: "popBatch", name: "three", start: holding(8, "abcde"), victim: popBatch(3), intruder: pop,
		alone: outcome{"edc", "", "ab"}, before: outcome{"dcb", "e", "a"}, after: outcome{"edc", "b", "a"},
	},
	{
		section: "popBatch", name: "fewer than asked for", start: holding(8, "ab"), victim: popBatch(3), intruder: push('y'),
		alone: outcome{"ba", "", ""}, before: outcome{"yba", "pushed", ""}, after: outcome{"ba", "pushed", "y"},
	},
	{
		section: "popBatch", name: "all of an even number", start: holding(8, "abcd"), victim: popBatch(4), intruder: pop,
		alone: outcome{"dcba", "", ""}, before: outcome{"cba", "d", ""}, after: outcome{"dcba", "none", ""},
	},
	{
		section: "popBatch", name: "one", start: holding(8, "ab"), victim: popBatch(1), intruder: pop,
		alone: outcome{"b", "", "a"}, before: outcome{"a", "b", ""}, after: outcome{"b", "a", ""},
	},
	{
		section: "popBatch", name: "nothing", idle: true, start: holding(8, ""), victim: popBatch(2), intruder: push('y'),
		alone: outcome{"", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"", "pushed", "y"},
	},
	{
		section: "pushBatch", name: "three", start: holding(8, "ab"), victim: pushBatch("xyz"), intruder: push('q'),
		alone: outcome{"3", "", "abxyz"}, before: outcome{"3", "pushed", "abqxyz"}, after: outcome{"3", "pushed", "abxyzq"},
	},
	{
		section: "pushBatch", name: "room for two", start: holding(4, "ab"), victim: pushBatch("xyz"), intruder: pop,
		alone: outcome{"2", "", "abxy"}, before: outcome{"3", "b", "axyz"}, after: outcome{"2", "y", "abx"},
	},
	{
		section: "pushBatch", name: "two", start: holding(8, "a"), victim: pushBatch("xy"), intruder: push('q'),
		alone: outcome{"2", "", "axy"}, before: outcome{"2", "pushed", "aqxy"}, after: outcome{"2", "pushed", "axyq"},
	},
	{
		section: "pushBatch", name: "no room", idle: true, start: holding(2, "ab"), victim: pushBatch("xyz"), intruder: pop,
		alone: outcome{"0", "", "ab"}, before: outcome{"1", "b", "ax"}, after: outcome{"0", "b", "a"},
	},
	{
		section: "pushBatch", name: "more objects than room", idle: true, start: shrunk, victim: pushBatch("xyz"), intruder: pop,
		alone: outcome{"0", "", "abcd"}, before: outcome{"0", "d", "abc"}, after: outcome{"0", "d", "abc"},
	},
	{
		section: "setHeader", name: "none yet", start: holding(8, ""), victim: push('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "x"}, before: outcome{"pushed", "pushed", "yx"}, after: outcome{"pushed", "pushed", "yx"},
	},
	{
		section: "alloc", name: "a block", once: true, start: serving(8, "abc"), victim: alloc, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "alloc", name: "no block", once: true, start: serving(8, ""), victim: alloc, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"y", "pushed", ""},
	},
	{
		section: "alloc", name: "the countdown carries over", once: true, start: carrying(8, "abc"), victim: alloc, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"b", "c", "a"},
	},
	{
		section: "allocZeroed", name: "the countdown carries over", once: true, start: carrying(8, "abc"), victim: allocZeroed, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"b", "c", "a"},
	},
	{
		section: "alloc", name: "a multiple of 128", once: true, start: serving(8, "abc"), victim: allocCoarse, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "alloc", name: "too large", refused: true, start: serving(8, "abc"), victim: allocLarge, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"},
	},
	{
		section: "allocZeroed", name: "a block", once: true, start: serving(8, "abc"), victim: allocZeroed, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "allocZeroed", name: "no block", once: true, start: serving(8, ""), victim: allocZeroed, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"y", "pushed", ""},
	},
	{
		section: "allocZeroed", name: "a multiple of 128", once: true, start: serving(8, "abc"), victim: allocZeroedCoarse, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "allocZeroed", name: "too large", refused: true, start: serving(8, "abc"), victim: allocZeroedLarge, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"},
	},
	{
		section: "free", name: "room", once: true, start: serving(8, "ab"), victim: free('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "free", name: "full", once: true, start: serving(2, "ab"), victim: free('x'), intruder: pop,
		alone: outcome{"full", "", "ab"}, before: outcome{"pushed", "b", "ax"}, after: outcome{"pushed", "b", "ax"},
	},
	{
		section: "free", name: "the newest again", once: true, start: serving(8, "abx"), victim: free('x'), intruder: pop,
		alone: outcome{"duplicate", "", "abx"}, before: outcome{"pushed", "x", "abx"}, after: outcome{"pushed", "x", "abx"},
	},
	{
		section: "free", name: "a multiple of 128", once: true, start: serving(8, "ab"), victim: freeOf('x', 0, coarse), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "free", name: "too large", refused: true, start: serving(8, "ab"), victim: freeOf('x', 0, rseqcs.MaxSmall+1), intruder: pop,
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "b", "ax"},
	},
	{
		section: "free", name: "another class", refused: true, start: serving(8, "ab"), victim: freeOf('x', 0, 2*objectSize), intruder: pop,
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "b", "ax"},
	},
	{
		section: "free", name: "inside an object", refused: true, start: serving(8, "ab"), victim: freeOf('x', 1, objectSize), intruder: pop,
		alone: outcome{"refused", "", "ab"}, before: outcome{"refused", "b", "a"},
	},
	{
		section: "free", name: "behind the range", refused: true, start: serving(8, "ab"), victim: freeOf('a', 1<<rseqcs.PageShift, objectSize), intruder: pop,
		alone: outcome{"refused", "", "ab"}, before: outcome{"refused", "b", "a"},
	},
	{
		section: "get", name: "an object", once: true, start: caching(8, "abc"), victim: get, intruder: pop,
		alone: outcome{"c", "", "ab"}, before: outcome{"b", "c", "a"}, after: outcome{"c", "b", "a"},
	},
	{
		section: "get", name: "no object", once: true, start: caching(8, ""), victim: get, intruder: push('y'),
		alone: outcome{"none", "", ""}, before: outcome{"y", "pushed", ""}, after: outcome{"y", "pushed", ""},
	},
	{
		section: "put", name: "room", once: true, start: caching(8, "ab"), victim: put('x'), intruder: push('y'),
		alone: outcome{"pushed", "", "abx"}, before: outcome{"pushed", "pushed", "abyx"}, after: outcome{"pushed", "pushed", "abxy"},
	},
	{
		section: "put", name: "full", once: true, start: caching(2, "ab"), victim: put('x'), intruder: pop,
		alone: outcome{"full", "", "ab"}, before: outcome{"pushed", "b", "ax"}, after: outcome{"pushed", "b", "ax"},
	},
	{
		section: "put", name: "the newest again", once: true, start: caching(8, "abx"), victim: put('x'), intruder: pop,
		alone: outcome{"duplicate", "", "abx"}, before: outcome{"pushed", "x", "abx"}, after: outcome{"pushed", "x", "abx"},
	},
	{
		section: "put", name: "inside an object", refused: true, start: caching(8, "ab"), victim: putAt('x', 1), intruder: pop,
		alone: outcome{"refused", "", "ab"}, before: outcome{"refused", "b", "a"},
	},
	{
		section: "put", name: "behind the range", refused: true, start: caching(8, "ab"), victim: putAt('a', 1<<rseqcs.PageShift), intruder: pop,
		alone: outcome{"refused", "", "ab"}, before: outcome{"refused", "b", "a"},
	},
	{
		section: "add", name: "a number", start: counting(100), victim: add(5), intruder: add(70),
		alone: outcome{"added", "", "105"}, before: outcome{"added", "added", "175"}, after: outcome{"added", "added", "175"},
	},
}
