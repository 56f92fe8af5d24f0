// Command guests boots Linux kernels in QEMU and runs static Go binaries in
// them, so that what this module claims of a kernel is seen on that kernel.
//
//	go run ./internal/guests
//	go run ./internal/guests -list
//	go run ./internal/guests test:./vcpu test:./rseqcs 'test[vcpualloc_stalled]:./rseqcs'
//	go run ./internal/guests -row 'arm64-*' 'VCPUALLOC_MODE=cpu_id test:./alloc -test.short'
//
// # What a run does
//
// rows.txt is the table of machines: one line names a kernel, the machine it
// runs on, and what is expected of it. For each row that -row selects (all of
// them without -row), the runner
//
//  1. fetches the newest kernel package of the row's pattern, and once QEMU
//     itself, with apt-get and a private apt state, into the cache folder
//     (apt.go, packages.go, kernel.go, emulator.go);
//  2. builds the jobs for the row's architecture (jobs.go) and packs them with
//     a static /init and a plan in JSON into an initramfs (cpio.go,
//     initramfs.go);
//  3. boots it, follows the console, and keeps it as a log (boot.go);
//  4. compares what came out with what the row expects (verdict.go).
//
// The mirror is the one that the machine's own apt uses; -mirror replaces it.
// A warm cache needs no network.
//
// # Jobs
//
// Without arguments the jobs are those of jobs.txt. A job is one argument:
// environment assignments, a program and its arguments, separated by blanks. The
// program is
//
//	test:FOLDER   the tests of the Go package in FOLDER, built for each
//	              architecture with CGO_ENABLED=0; its testdata goes along
//	cmd:FOLDER    the main package in FOLDER, built alike
//	FILE          a static executable; it runs on the rows of its architecture
//
// With "on=PATTERN" before the program a job is for the rows of that name alone,
// with "on=!PATTERN" for all others; commas separate several patterns.
//
// With test[TAGS]:FOLDER and cmd[TAGS]:FOLDER it is built with build tags. A job
// finds the mode that its row expects in VCPUALLOC_EXPECT_MODE, unless it caps
// the mode itself with VCPUALLOC_MODE.
//
// Before all others runs the built-in job "probe", which prints what the
// kernel offers and which mode package vcpu made of it.
//
// # When a row is good
//
// The emulator ends with the status of the debug exit, which only /init asks
// for: status 0 proves nothing, since a guest that panics also ends with it.
// The last line of the console is the result line. The kernel's version, the
// size of its pages, its CPUs and nodes are those of the row; every job ended
// with status 0; the mode and its reason are those of the row. Everything else
// is a surprise: it is printed, the log is kept, and the exit status is 1.
// Nothing is tried twice. A boot that fails one time in fifty is a finding.
//
// There is one exception (trial.go). Some kernels spoil their own memory, which no
// program should be able to bring about; the column "unsound" of rows.txt names them.
// A guest of such a row is lost if its kernel reports that: a pass in it counts, but
// what failed in it, or had not run, runs again in a fresh guest, and a job that is
// lost with four is a surprise. The table says how many guests were lost, and to
// which report. A job that fails in a guest without a report has failed, and a report
// in a sound row is a surprise.
//
// # What a green run does not prove
//
// The emulator hardly ever interrupts straight-line code, so short sections are
// practically never aborted in a guest: run the stalled builds as well.
// And arm64 code that is emulated on an amd64 machine runs with that machine's
// stronger memory order, so barriers are not tested.
package main
