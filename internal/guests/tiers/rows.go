//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// row is one environment.
type row struct {
	denied []string        // rules of package filter
	env    []string        // settings
	want   func(want) want // of what comes out where nothing is taken away
}

// want is what must come out.
type want struct {
	mode   vcpu.Mode
	owner  string
	reason string // part of it; empty for none
	fence  bool
}

func wantOf(r report.Report) want {
	return want{mode: r.Features.Mode, owner: r.Features.Owner, reason: r.Features.Reason, fence: r.Features.Fence}
}

// wholeOf is wantOf the run from which nothing is taken away. What its reason
// counts, behind a colon, may be another number the next time.
func wholeOf(r report.Report) want {
	w := wantOf(r)
	w.reason, _, _ = strings.Cut(w.reason, ":")
	return w
}

var rows = []row{
	{want: same},

	{denied: []string{"rseq=ENOSYS"}, want: none("the kernel has no rseq (ENOSYS")},
	{denied: []string{"rseq=EPERM"}, want: none("rseq is forbidden (EPERM")},
	{denied: []string{"rseq=EINVAL"}, want: none("somebody else has registered rseq")},
	{denied: []string{"rseq=KILL"}, want: none("rseq: a seccomp filter kills who calls it")},
	{denied: []string{"rseq=ENOSYS", "membarrier=EPERM"}, want: none("the kernel has no rseq (ENOSYS")},
	{denied: []string{"membarrier=ENOSYS"}, want: withoutFence},
	{denied: []string{"membarrier=EPERM"}, want: withoutFence},
	{denied: []string{"membarrier=KILL"}, want: withoutFence},
	{denied: []string{"sched_setaffinity=EPERM"}, want: untested},
	{denied: []string{"sched_setaffinity=KILL", "sched_setattr=KILL"}, want: untested},
	{denied: []string{"sched_setattr=EPERM"}, want: same},

	{env: []string{"VCPUALLOC_MODE=mm_cid"}, want: same},
	{env: []string{"VCPUALLOC_MODE=cpu_id"}, want: capped(vcpu.CPUID)},
	{env: []string{"VCPUALLOC_MODE=assigned"}, want: none("VCPUALLOC_MODE=assigned")},
	{env: []string{"VCPUALLOC_MODE=cpu_id"}, denied: []string{"membarrier=ENOSYS"}, want: func(w want) want { return withoutFence(capped(vcpu.CPUID)(w)) }},

	{env: []string{"GOMAXPROCS=1"}, want: same},
	{env: []string{"GOMAXPROCS=16"}, want: same},
	{env: []string{"GOMAXPROCS=16", "VCPUALLOC_MODE=assigned"}, want: none("VCPUALLOC_MODE=assigned")},
}

func same(w want) want { return w }

func none(reason string) func(want) want {
	return func(want) want { return want{mode: vcpu.Assigned, owner: "none", reason: reason} }
}

func withoutFence(w want) want {
	w.fence = false
	return w
}

// untested is a kernel that may be right and cannot be tried.
func untested(w want) want {
	w.mode, w.reason = vcpu.Assigned, "the self-test of restartable sections could not run: sched_setaffinity"
	return w
}

func capped(mode vcpu.Mode) func(want) want {
	return func(w want) want {
		if w.mode > mode {
			w.mode, w.reason = mode, "VCPUALLOC_MODE="+mode.String()
		}
		return w
	}
}

func (r row) name() string {
	if name := strings.Join(slices.Concat(r.denied, r.env), " "); name != "" {
		return name
	}
	return "nothing taken away"
}

// judge names what is not as it must be.
func (r row) judge(w want, got report.Report) (faults []string) {
	fault := func(format string, arguments ...any) { faults = append(faults, fmt.Sprintf(format, arguments...)) }
	must, is := r.want(w), wantOf(got)
	if is.mode != must.mode {
		fault("mode %v (%s), want %v", is.mode, is.reason, must.mode)
	}
	if !strings.Contains(is.reason, must.reason) || must.reason == "" && is.reason != "" {
		fault("reason %q, want %q in it", is.reason, must.reason)
	}
	if is.owner != must.owner || is.fence != must.fence {
		fault("areas of %s, fence %v; want %s, %v", is.owner, is.fence, must.owner, must.fence)
	}
	for _, game := range []report.Game{got.Tokens, got.Blocks} {
		if game.Rounds == 0 || len(game.Violations) > 0 {
			fault("%d rounds, violations %q", game.Rounds, game.Violations)
		}
	}
	return faults
}
