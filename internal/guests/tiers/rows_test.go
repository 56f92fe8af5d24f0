//go:build linux && (amd64 || arm64)

package main

import (
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

func good(mode vcpu.Mode, owner, reason string, fence bool) report.Report {
	game := report.Game{Rounds: 1}
	return report.Report{Features: vcpu.Features{Mode: mode, Owner: owner, Reason: reason, Fence: fence}, Tokens: game, Blocks: game}
}

// TestJudge spoils each thing that is judged.
func TestJudge(t *testing.T) {
	right := good(vcpu.MMCID, "self", "", true)
	whole, r := wholeOf(right), row{want: same}
	if faults := r.judge(whole, right); len(faults) > 0 {
		t.Fatalf("a right report has faults %q", faults)
	}
	for name, spoil := range map[string]func(*report.Report){
		"mode":      func(r *report.Report) { r.Features.Mode = vcpu.CPUID },
		"reason":    func(r *report.Report) { r.Features.Reason = "why not" },
		"owner":     func(r *report.Report) { r.Features.Owner = "libc" },
		"fence":     func(r *report.Report) { r.Features.Fence = false },
		"rounds":    func(r *report.Report) { r.Tokens.Rounds = 0 },
		"violation": func(r *report.Report) { r.Blocks.Violations = []string{"two owners"} },
	} {
		spoilt := right
		if spoil(&spoilt); len(r.judge(whole, spoilt)) != 1 {
			t.Errorf("%s: faults %q, want one", name, r.judge(whole, spoilt))
		}
	}
}

// TestWants is what the rows want of a kernel of each kind.
func TestWants(t *testing.T) {
	broken := good(vcpu.Assigned, "self", "sections are not aborted: the self-test saw 3 violations", true)
	old := good(vcpu.CPUID, "self", "20 bytes", true)
	for _, one := range []struct {
		whole     report.Report
		name      string
		mode      vcpu.Mode
		reason    string
		withFence bool
	}{
		{broken, "nothing taken away", vcpu.Assigned, "sections are not aborted", true},
		{broken, "VCPUALLOC_MODE=cpu_id", vcpu.Assigned, "sections are not aborted", true},
		{broken, "membarrier=EPERM", vcpu.Assigned, "sections are not aborted", false},
		{old, "VCPUALLOC_MODE=cpu_id", vcpu.CPUID, "20 bytes", true},
		{old, "VCPUALLOC_MODE=assigned", vcpu.Assigned, "VCPUALLOC_MODE=assigned", false},
		{old, "rseq=EPERM", vcpu.Assigned, "EPERM", false},
		{good(vcpu.MMCID, "self", "", true), "membarrier=ENOSYS VCPUALLOC_MODE=cpu_id", vcpu.CPUID, "VCPUALLOC_MODE=cpu_id", false},
	} {
		found := false
		for _, r := range rows {
			if r.name() != one.name {
				continue
			}
			found = true
			if w := r.want(wholeOf(one.whole)); w.mode != one.mode || !strings.Contains(w.reason, one.reason) || w.fence != one.withFence {
				t.Errorf("%s after %q: %+v", one.name, one.whole.Features.Reason, w)
			}
		}
		if !found {
			t.Errorf("no row is named %q", one.name)
		}
	}
}
