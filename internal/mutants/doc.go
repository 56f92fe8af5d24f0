// Command mutants breaks the sources in many small ways, one at a time, and
// demands that some test notices each.
//
//	go run ./internal/mutants
//	go run ./internal/mutants -quick
//	go run ./internal/mutants -run 'pop:' -v
//	go run ./internal/mutants -tables slips -named
//	go run ./internal/mutants -list
//	go run ./internal/mutants -run '^arm64' -guest arm64-7.3
//	go run ./internal/mutants -derive ./arena ./alloc
//	go run ./internal/mutants -derive -changed origin/main ./arena ./alloc
//
// A test that has never failed may be unable to. That holds above all for the
// sections: wrong ones pass any test that does not interrupt them. So the list of
// what can be wrong is made first, and a mutant that survives is a test that is
// missing.
//
// # Tables
//
// The mutants are in tables/*.txt. A line is a directive or a line of a change:
//
//	arch amd64            those that follow are for this architecture; without it, for both
//	file rseqcs/drain.go  the changes that follow are of this file
//	in func (s *Stack)    ... between the line that begins so and the next function,
//	                      macro or comment of its level
//	everywhere            ... in the whole file
//	by points model       what should notice the mutants that follow, the best one first
//	mutant NAME           begins a mutant
//	quick                 it is one of the small run
//	-TEXT                 a line that is there and goes
//	+TEXT                 a line that comes
//	 TEXT                 a line that stays
//
// Changed lines that follow each other are one hunk; a directive ends it. What a
// hunk removes or keeps must be in its place exactly once, apart from blanks, so
// that a mutant cannot rot: TestTables fails, and whoever has changed the code
// says what is wrong with the new one.
//
// # A run
//
// First, what is to fail must pass (the names after "by" are runs of tests, in
// killer.go). Then each mutant is built with "go test -overlay", which leaves the
// sources alone, and tried with its runs, and if it survives them with all that
// the package has (-named leaves this out). The table at the end says which test
// killed it. A test that crashes or hangs has failed as well, where to hang is to
// take several times as long as without the mutant; a mutant that does not build is
// an error of its table. Exit status 0 means that all are dead.
//
// The mutants of arm64 are cross-built on another machine and run in a guest of
// internal/guests, many in one boot, if -guest names one: all with their best killer,
// then those that are alive with the next one. What is of both architectures is tried
// on this machine only.
//
// # Derived mutants
//
// With -derive the mutants come from the syntax trees of the packages that are named
// (package derive says how, and what has none), by default arena and alloc. All of
// them are in one test program, where an environment variable switches one on. First
// each test runs alone and notes which mutants it reaches. A mutant is tried with the
// tests that reach it, the quickest first, and, if it is alive then, with those of
// other modes and builds (derivedRuns). One that no test reaches is "not covered", and
// counts as alive.
//
//	-run, -skip   patterns of "file:line name"
//	-changed REV  those on lines that were changed since a revision of git: minutes
//	-shard i/n    one of n parts
//	-quick        only tests that take half a second together
//	-named        only the first row of runs
//	-tests        pattern of the tests
//	-results FILE what became of each, a line of JSON; a run that is ended goes on there, as
//	              long as the text of the function is the same; -again tries those again that are
//	              in it and not dead
//
// A test hangs when it has taken many times as long as without a mutant, apart from
// the time in which its threads waited for a CPU. A test that fails without a mutant is
// reported and left out.
//
// The files equal/*.txt name mutants that no test can tell from the sources, each with
// the reason. A name holds the function and the text of the place, so a change of that
// place makes TestReasonsNameMutants fail, and the reason is looked at again.
//
// # Mutants that are not there
//
// These change nothing that a test could see, so they are in no table:
//
//   - reclaim asks the kernel about slots that are being registered: tgkill
//     answers EINVAL for thread 0, which is not ESRCH.
//   - EnsureThread registers a thread that has an area: register says so, and the
//     slot goes back. It only takes longer.
//   - CLASS looks up 1024 bytes in the coarse table: it says the same there.
//   - Counter with cells of one line: slower where lines are fetched in pairs.
//   - STLR made STR on arm64 as long as an emulator on amd64 runs it: the order of
//     stores is that of the host.
//   - PREFETCHT0 removed; SET_HEADER looks at current alone: the end of a header that
//     was never set up is zero, too.
//   - lacks looks at a heap's own budget alone: charge refuses, after free pages went
//     back in vain.
//   - FreeBatch takes the class of the first block's length: what is in order goes one
//     by one then.
//   - Reclaim functions that freed nothing, and the caller tries again: once, in vain.
//   - On amd64 register does not note the owner of an area: nobody asks there.
//   - registerSelf does not lock its goroutine: it would have to change threads
//     within a microsecond, and then arm64 alone looks at the owner.
package main
