// Package derive makes mutants of Go packages from their syntax trees, all of
// them in one program.
//
// Load parses and type-checks a package and rewrites its files so that each place
// that can be mutated asks a switch which mutant is on. With none on, the program
// does what the sources say. So thousands of mutants cost one build, and a trial of
// one costs the time of the tests that reach it:
//
//	if n > 0 { h.low = n }
//	if mutantBool(17, mutantGreater(20, n, mutantInt[int](22, 0))) { if !mutantIs(26) { h.low = n } }
//
// The rewritten text has the lines of the original one, so panics and failures name
// the right places.
//
// # Operators
//
//	conditions    negated, forced true, forced false, with all operands evaluated;
//	              && and || exchanged; an operand of one left out
//	comparisons   < to <= and to >, and the others likewise
//	arithmetic    + and -, * and /, << and >>, & and | exchanged, &^ to &, % to /; the
//	              right operand left out; a sign left out
//	constants     integers plus 1, minus 1 (up to 65535, and not of a time.Duration), 0 and
//	              doubled, where they are used; booleans negated
//	min and max   exchanged; an operand left out
//	calls         without a result that is used: left out; two neighboring arguments of
//	              the same type exchanged
//	statements    assignments, ++, --, defer, go and send left out; += to -= and so on
//	results       zero instead of a returned value, a boolean negated
//	literals      a field of a struct literal left out
//	branches      a case of a switch left out; break and continue exchanged and left out
//	loops         the body never or at most once; a range over a slice backwards
//	append        the elements left out, where the result does not replace the first operand
//
// What equals another mutant of the same place by the rules of arithmetic is left
// out: n > 0 with >= is n > -1.
//
// # What has no mutants
//
//   - generated files, tests, and the file invariants.go, which is part of the tests
//   - the methods String, GoString, Error and Format; calls of package fmt and of
//     errors.New, whose results are text; operands of + that are strings
//   - arguments of panic, and panic as a statement: the condition before it is mutated
//   - runtime.KeepAlive, whose effect depends on when the collector runs
//   - constants that are returned beside an error, and what is returned beside false: no
//     caller looks at it
//   - code below a constant condition that is false in this build
//   - declarations of constants: a constant is mutated at each use
package derive
