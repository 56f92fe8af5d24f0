//go:build amd64 || arm64

package modes

import (
	"runtime"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
)

// guard is something that this module leans on and that fails. The edit makes it
// fail, and where the way that must not be taken then would work all the same,
// makes this way panic.
type guard struct {
	row
	arch  string // the only one that has it; empty for all
	edit  edit
	check func(*testing.T, report.Report)
}

func noneBecause(reason string) func(*testing.T) want {
	return func(t *testing.T) want {
		if w := self(t); w.owner == "none" {
			return w
		}
		return none(reason)
	}
}

func brokenBecause(reason string) func(*testing.T) want {
	return func(t *testing.T) want { return self(t).unusable(reason) }
}

var guards = []guard{
	// The runtime's inside.
	{
		row:  row{name: "g elsewhere", program: "static", want: noneBecause("the runtime does not keep g where it was expected")},
		arch: "amd64",
		edit: edit{{"internal/rseq/thread_linux_amd64.s", "MOVQ -8(FS), AX", "MOVQ -16(FS), AX"}},
	},
	{
		row:  row{name: "g.m elsewhere, nil in its place", program: "static", want: noneBecause("g.m is not at offset 40")},
		edit: edit{{"internal/procpin/place.go", "OffsetOfM = 48", "OffsetOfM = 40"}},
	},
	{
		row:  row{name: "g.m elsewhere, an integer in its place", program: "static", want: noneBecause("g.m is not at offset 152")},
		edit: edit{{"internal/procpin/place.go", "OffsetOfM = 48", "OffsetOfM = 152"}},
	},
	{
		row:  row{name: "g.m elsewhere, a stack in its place", program: "static", want: noneBecause("g.m is not at offset 8")},
		edit: edit{{"internal/procpin/place.go", "OffsetOfM = 48", "OffsetOfM = 8"}},
	},
	{
		row:  row{name: "FS elsewhere", program: "static", want: noneBecause("does not point into the M")},
		arch: "amd64",
		edit: edit{{"internal/rseq/readings_linux_amd64.go", "archGetFS = 0x1003", "archGetFS = 0x1004"}}, // that of GS
	},
	{row: row{name: "thread word in use", program: "static", arguments: []string{"-spoil"}, want: noneBecause("the spare thread word is in use (it holds 0x5011")}},
	{
		row:   row{name: "P elsewhere", program: "static", want: self},
		edit:  placeless,
		check: placeNotFound,
	},
	{
		row:   row{name: "P elsewhere, assigned", program: "static", env: []string{"VCPUALLOC_MODE=assigned"}, want: noneBecause("VCPUALLOC_MODE=assigned")},
		edit:  placeless,
		check: placeNotFound,
	},
	{
		row:  row{name: "other registers", program: "static", want: self},
		edit: registerless,
		check: func(t *testing.T, r report.Report) {
			if r.RegisterCalls {
				t.Error("regcall.Works has not noticed")
			}
		},
	},

	// The kernel and the C library.
	{
		row:  row{name: "no memory for areas", program: "static", want: noneBecause("no memory for a thread's rseq area")},
		edit: edit{{"internal/rseq/thread_linux.go", "uintptr(count*stride),", "1<<62,"}},
	},
	{
		row: row{name: "no memory for more areas", program: "static", env: []string{"GOMAXPROCS=16"}, want: self},
		edit: edit{
			{"internal/rseq/thread_linux.go", "uintptr(count*stride),", "uintptr(count*stride)<<(40*min(len(a.slots), 1)),"},
			{"internal/rseq/thread_linux.go", "growSlots = 64", "growSlots = 3"},
		},
		check: func(t *testing.T, r report.Report) {
			if r.Features.Owner == "self" && (r.Stats.Registrations > 3 || r.Stats.Fallbacks == 0) {
				t.Errorf("%+v, want 3 registrations and some fallbacks", r.Stats)
			}
		},
	},
	{
		row: row{name: "libc's area elsewhere", program: "cgo", want: func(t *testing.T) want {
			if w := libc(t); w.owner == "none" {
				return w
			}
			return none("the kernel does not confirm glibc's rseq area")
		}},
		edit: edit{{"internal/rseq/libc_linux.go", "registeredLength(threadPointer()+offset,", "registeredLength(threadPointer()+offset+32,"}},
	},
	{
		row:  row{name: "sections are not aborted", program: "static", want: brokenBecause("sections are not aborted: the self-test saw")},
		edit: edit{undescribed},
	},
	{
		row:  row{name: "sections are not aborted, unseen", program: "static", want: brokenBecause("sections are not aborted: the self-test saw 0 of 16 aborts")},
		edit: edit{undescribed, {"vcpu/selftest.go", "intruderMark = 0xbad", "intruderMark = holderMark"}},
	},
}

// placeless hides the Ps: m.p is further behind than this.
var placeless = edit{
	{"internal/procpin/place.go", "searchedOfM = 512", "searchedOfM = 64"},
	{"rseqcs/sections_linux.go", "offsetOfP = place.M", "panic(place)"},
}

func placeNotFound(t *testing.T, r report.Report) {
	if r.PlaceFound {
		t.Error("procpin.FindPlace has found one")
	}
}

// registerless exchanges two registers in what regcall tries.
var registerless = edit{
	map[string]change{
		"amd64": {"internal/regcall/call_amd64.s", "LEAQ (AX)(BX*2), AX", "LEAQ (AX)(DX*2), AX"},
		"arm64": {"internal/regcall/call_arm64.s", "ADD R1<<1, R0", "ADD R4<<1, R0"},
	}[runtime.GOARCH],
	{"rseqcs/sections_linux.go", "\treturn operations{\n\t\tpop:       regcall.Of", "\tpanic(\"registers were not to be used\")\n\treturn operations{\n\t\tpop:       regcall.Of"},
}

// undescribed has the kernel find no thread inside of the self-test's section,
// as breakSections in package vcpu does.
var undescribed = change{"vcpu/selftest.go", "descriptors[i], err = rseq.Describe", "descriptors[1-i], err = rseq.Describe"}

// TestGuards has each of them fail in a program. It must come out in the lower
// tier, with the reason, and play both games right.
func TestGuards(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program for each of them, which takes half a minute: not in short mode")
	}
	for _, g := range guards {
		if g.arch != "" && g.arch != runtime.GOARCH {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			if g.edit != nil {
				p := programs[g.program]
				p.edit = &g.edit
				g.build = &p
			}
			got := checkRow(t, g.row)
			if g.check != nil {
				g.check(t, got)
			}
		})
	}
}
