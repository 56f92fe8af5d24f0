//go:build amd64 || arm64

package modes

import (
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
	"github.com/vcpualloc/vcpualloc/internal/stress"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// row is one program in one environment.
type row struct {
	name      string
	program   string   // of programs
	build     *program // instead
	arguments []string
	plugin    string // of programs, as the last argument
	env       []string
	denied    []string // arguments of deny
	oneCPU    bool
	lent      bool // half of the turns are taken by threads that C has made
	need      func(*testing.T)
	want      func(*testing.T) want
}

const silentLibc = "its C library registers no rseq that can be found"

const noGlibcRseq = "GLIBC_TUNABLES=glibc.pthread.rseq=0"

var rows = []row{
	// Ways to build.
	{name: "static", program: "static", want: self},
	{name: "pie", program: "pie", need: needLoader, want: self},
	{name: "stripped", program: "stripped", want: self},
	{name: "unoptimised", program: "unoptimised", want: self},
	{name: "oldest CPU", program: "oldest CPU", want: self},
	{name: "newer CPU", program: "newer CPU", want: self},
	{name: "cgo", program: "cgo", want: libc},
	{name: "race", program: "race", want: libc},
	{name: "asan", program: "asan", want: libc},
	{name: "cgo static", program: "cgo static", want: libc},
	{name: "cgo static stripped", program: "cgo static bare", want: func(*testing.T) want { return none(silentLibc) }},
	{name: "musl", program: "musl", want: func(*testing.T) want { return none(silentLibc) }},
	{name: "musl static", program: "musl static", want: func(*testing.T) want { return none(silentLibc) }},
	{name: "c-shared", program: "c-shared", lent: true, want: libc},
	{name: "c-shared, dlopen", program: "c-shared, dlopen", lent: true, want: libc},
	{name: "c-archive", program: "c-archive", lent: true, want: libc},
	{name: "c-archive static", program: "c-archive static", lent: true, want: libc},
	{name: "plugin", program: "plugin's host", plugin: "plugin", want: libc},

	// The C library's setting.
	{name: "cgo without glibc's rseq", program: "cgo", env: []string{noGlibcRseq}, want: withoutGlibcRseq},
	{name: "race without glibc's rseq", program: "race", env: []string{noGlibcRseq}, want: withoutGlibcRseq},
	{name: "c-shared without glibc's rseq", program: "c-shared", lent: true, env: []string{noGlibcRseq}, want: withoutGlibcRseq},
	{name: "pie without glibc's rseq", program: "pie", env: []string{noGlibcRseq}, need: needLoader, want: self},
	{name: "static ignores glibc's setting", program: "static", env: []string{noGlibcRseq}, want: self},

	// Sandboxes.
	{name: "rseq ENOSYS", program: "static", denied: []string{"rseq=ENOSYS"}, want: func(*testing.T) want { return none("the kernel has no rseq (ENOSYS") }},
	{name: "rseq EPERM", program: "static", denied: []string{"rseq=EPERM"}, want: func(*testing.T) want { return none("rseq is forbidden (EPERM") }},
	{name: "rseq EINVAL", program: "static", denied: []string{"rseq=EINVAL"}, want: func(*testing.T) want { return none("somebody else has registered rseq") }},
	{name: "rseq ENOSYS, pie", program: "pie", need: needLoader, denied: []string{"rseq=ENOSYS"}, want: func(*testing.T) want { return none("(ENOSYS") }},
	{name: "rseq ENOSYS, cgo", program: "cgo", denied: []string{"rseq=ENOSYS"}, want: withoutGlibcRseq},
	{name: "rseq EPERM, cgo", program: "cgo", denied: []string{"rseq=EPERM"}, want: withoutGlibcRseq},
	{name: "membarrier ENOSYS", program: "static", denied: []string{"membarrier=ENOSYS"}, want: withoutFence(self)},
	{name: "membarrier EPERM, cgo", program: "cgo", denied: []string{"membarrier=EPERM"}, want: withoutFence(libc)},
	{name: "sched_setaffinity EPERM", program: "static", denied: []string{"sched_setaffinity=EPERM"}, want: unpinned(self)},
	{name: "sched_setaffinity ENOSYS, cgo", program: "cgo", denied: []string{"sched_setaffinity=ENOSYS"}, want: unpinned(libc)},
	{name: "rseq kills", program: "static", denied: []string{"rseq=KILL"}, want: noneBecause("rseq: a seccomp filter kills who calls it")},
	{name: "rseq traps", program: "static", denied: []string{"rseq=TRAP"}, want: noneBecause("rseq: a seccomp filter kills who calls it")},
	{name: "membarrier kills", program: "static", denied: []string{"membarrier=KILL"}, want: withoutFence(self)},
	{name: "membarrier traps, cgo", program: "cgo", denied: []string{"membarrier=TRAP"}, want: withoutFence(libc)},
	{name: "sched_setaffinity kills", program: "static", denied: []string{"sched_setaffinity=KILL"}, want: unpinned(self)},
	{name: "sched_setaffinity kills, pie", program: "pie", need: needLoader, denied: []string{"sched_setaffinity=KILL"}, want: unpinned(self)},
	{name: "systemd's ~@resources, cgo", program: "cgo", denied: []string{"sched_setaffinity=KILL", "sched_setattr=KILL"}, want: unpinned(libc)},
	{name: "sched_setattr kills", program: "static", denied: []string{"sched_setattr=KILL"}, want: self},
	{name: "sched_setattr EPERM", program: "static", denied: []string{"sched_setattr=EPERM"}, want: self},

	// Settings of this project and of Go.
	{name: "cap mm_cid", program: "static", env: []string{"VCPUALLOC_MODE=mm_cid"}, want: self},
	{name: "cap cpu_id", program: "static", env: []string{"VCPUALLOC_MODE=cpu_id"}, want: capped(self, vcpu.CPUID)},
	{name: "cap cpu_id, cgo", program: "cgo", env: []string{"VCPUALLOC_MODE=cpu_id"}, want: capped(libc, vcpu.CPUID)},
	{name: "cap assigned", program: "static", env: []string{"VCPUALLOC_MODE=assigned"}, want: capped(self, vcpu.Assigned)},
	{name: "cap assigned, race", program: "race", env: []string{"VCPUALLOC_MODE=assigned"}, want: capped(libc, vcpu.Assigned)},
	{name: "cap unknown", program: "static", env: []string{"VCPUALLOC_MODE=fast"}, want: func(t *testing.T) want {
		w := self(t)
		w.reason = `VCPUALLOC_MODE="fast" is ignored`
		return w
	}},
	{name: "one P", program: "static", env: []string{"GOMAXPROCS=1"}, want: self},
	{name: "one P, cgo", program: "cgo", env: []string{"GOMAXPROCS=1"}, want: libc},
	{name: "16 Ps", program: "static", env: []string{"GOMAXPROCS=16"}, want: self},
	{name: "16 Ps, assigned", program: "static", env: []string{"GOMAXPROCS=16", "VCPUALLOC_MODE=assigned"}, want: capped(self, vcpu.Assigned)},
	{name: "no asynchronous preemption", program: "static", env: []string{"GODEBUG=asyncpreemptoff=1"}, want: self},

	// One CPU.
	{name: "one CPU", program: "static", oneCPU: true, want: self},
	{name: "one CPU, 16 Ps", program: "static", oneCPU: true, env: []string{"GOMAXPROCS=16"}, want: self},
	{name: "one CPU, cgo", program: "cgo", oneCPU: true, want: libc},
}

func withoutGlibcRseq(t *testing.T) want {
	if !libcRegisters(t) {
		return libc(t)
	}
	return none("glibc did not register rseq")
}

func withoutFence(base func(*testing.T) want) func(*testing.T) want {
	return func(t *testing.T) want {
		w := base(t)
		w.fence = false
		return w
	}
}

func unpinned(base func(*testing.T) want) func(*testing.T) want {
	return func(t *testing.T) want {
		return base(t).unusable("the self-test of restartable sections could not run: sched_setaffinity")
	}
}

func capped(base func(*testing.T) want, mode vcpu.Mode) func(*testing.T) want {
	return func(t *testing.T) want { return base(t).capped(mode) }
}

func TestRows(t *testing.T) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			checkRow(t, r)
		})
	}
}

// checkRow runs a row and compares.
func checkRow(t *testing.T, r row) report.Report {
	t.Helper()
	if r.need != nil {
		r.need(t)
	}
	got := runProgram(t, r)
	f := got.Features
	t.Logf("%s, %s, fence %v, %s %s, %d + %d rounds, %+v", f.Mode, f.Owner, f.Fence, got.Go, f.Reason, got.Tokens.Rounds, got.Blocks.Rounds, got.Stats)
	w := r.want(t)
	if f.Owner != w.owner || f.Fence != w.fence {
		t.Errorf("owner %s, fence %v; want %s, %v", f.Owner, f.Fence, w.owner, w.fence)
	}
	broken := stress.SectionsAreIgnored() && strings.Contains(f.Reason, "sections are not aborted")
	switch {
	case broken && f.Mode == vcpu.Assigned && w.mode != vcpu.Assigned:
		t.Logf("this kernel is broken: %s", f.Reason)
	case f.Mode != w.mode:
		t.Errorf("mode %s (%s), want %s", f.Mode, f.Reason, w.mode)
	case !strings.Contains(f.Reason, w.reason), w.reason == "" && f.Reason != "":
		t.Errorf("reason %q, want %q in it", f.Reason, w.reason)
	}
	if lent := got.LentTurns > 0; lent != r.lent {
		t.Errorf("%d turns on threads of somebody else; the row is to have some: %v", got.LentTurns, r.lent)
	}
	checkGames(t, got)
	return got
}

// checkGames checks what is so in every mode.
func checkGames(t *testing.T, got report.Report) {
	for name, game := range map[string]report.Game{"tokens": got.Tokens, "blocks": got.Blocks} {
		if game.Rounds == 0 || len(game.Violations) > 0 {
			t.Errorf("%s: %d rounds, violations %q", name, game.Rounds, game.Violations)
		}
	}
	registers := got.Features.Owner == "self"
	if registers != (got.Stats.Registrations > 0) {
		t.Errorf("owner %s, %d registrations", got.Features.Owner, got.Stats.Registrations)
	}
	if got.Max < 1 || got.Features.Mode == vcpu.Assigned && got.Max < got.GOMAXPROCS {
		t.Errorf("%d ids for %d Ps in mode %s", got.Max, got.GOMAXPROCS, got.Features.Mode)
	}
}
