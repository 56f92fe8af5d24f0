package vcpu

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// grounds of the kernels that there are: before 6.3, 6.3 to 6.19, 7.0 and later.
func groundOf(kernelSize int) *rseq.Ground {
	return &rseq.Ground{Owner: rseq.Self, KernelSize: kernelSize, Registered: max(rseq.MinLength, kernelSize)}
}

func TestLook(t *testing.T) {
	none := &rseq.Ground{KernelSize: 28, KernelAlign: 32, Reason: "forbidden"}
	libc := &rseq.Ground{Owner: rseq.Libc, KernelSize: 28, KernelAlign: 32, Registered: 32}
	const short = "fills in 20 bytes of struct rseq, mm_cid ends at 28"
	for _, row := range []struct {
		name    string
		ground  *rseq.Ground
		limit   string
		unsound bool
		mode    Mode
		size    int
		reason  []string // parts, in their order; none: the reason is empty
	}{
		{name: "no owner", ground: none, mode: Assigned, reason: []string{"forbidden"}},
		{name: "no owner, capped", ground: none, limit: "cpu_id", mode: Assigned, reason: []string{"forbidden"}},
		{name: "no owner, unknown cap", ground: none, limit: "turbo", mode: Assigned, reason: []string{`VCPUALLOC_MODE="turbo" is ignored`, "; forbidden"}},
		{name: "kernel tells no size", ground: groundOf(0), mode: CPUID, size: 20, reason: []string{short}},
		{name: "20", ground: groundOf(20), mode: CPUID, size: 20, reason: []string{short}},
		{name: "24: node_id, not yet mm_cid", ground: groundOf(24), mode: CPUID, size: 24, reason: []string{"fills in 24 bytes"}},
		{name: "27: mm_cid lacks a byte", ground: groundOf(27), mode: CPUID, size: 27, reason: []string{"fills in 27 bytes"}},
		{name: "28", ground: groundOf(28), mode: MMCID, size: 28},
		{name: "28, of libc", ground: libc, mode: MMCID, size: 28},
		{name: "32", ground: groundOf(32), mode: MMCID, size: 32},
		{name: "33", ground: groundOf(33), mode: MMCID, size: 33},
		{name: "33, 32 of them registered", ground: &rseq.Ground{Owner: rseq.Libc, KernelSize: 33, Registered: 32}, mode: MMCID, size: 32},
		{name: "cap mm_cid", ground: groundOf(28), limit: "mm_cid", mode: MMCID, size: 28},
		{name: "cap cpu_id", ground: groundOf(28), limit: "cpu_id", mode: CPUID, size: 28, reason: []string{"VCPUALLOC_MODE=cpu_id in the environment"}},
		{name: "cap assigned", ground: groundOf(28), limit: "assigned", mode: Assigned, size: 28, reason: []string{"VCPUALLOC_MODE=assigned in the environment"}},
		{name: "cap above the kernel", ground: groundOf(20), limit: "mm_cid", mode: CPUID, size: 20, reason: []string{short}},
		{name: "cap equal to the kernel", ground: groundOf(20), limit: "cpu_id", mode: CPUID, size: 20, reason: []string{short}},
		{name: "cap below the kernel", ground: groundOf(20), limit: "assigned", mode: Assigned, size: 20, reason: []string{"VCPUALLOC_MODE=assigned"}},
		{name: "unknown cap", ground: groundOf(28), limit: "MM_CID", mode: MMCID, size: 28, reason: []string{`VCPUALLOC_MODE="MM_CID" is ignored: it is none of mm_cid, cpu_id, assigned`}},
		{name: "unknown cap, and a reason", ground: groundOf(20), limit: "x", mode: CPUID, size: 20, reason: []string{`VCPUALLOC_MODE="x" is ignored`, "; ", short}},
		{name: "unsound", ground: groundOf(28), unsound: true, mode: Assigned, size: 28, reason: []string{"broken"}},
		{name: "unsound, by cpu_id", ground: groundOf(20), unsound: true, mode: Assigned, size: 20, reason: []string{"broken"}},
		{name: "unsound, capped", ground: groundOf(28), limit: "cpu_id", unsound: true, mode: Assigned, size: 28, reason: []string{"broken"}},
		{name: "unsound, unknown cap", ground: groundOf(28), limit: "x", unsound: true, mode: Assigned, size: 28, reason: []string{"is ignored", "; broken"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			tested := false
			f := look(row.ground, row.limit, func(*rseq.Ground) error {
				tested = true
				if row.unsound {
					return errors.New("broken")
				}
				return nil
			})
			if f.Mode != row.mode || f.Size != row.size {
				t.Errorf("mode %v, size %d; want %v, %d", f.Mode, f.Size, row.mode, row.size)
			}
			if wantTest := row.ground.Owner != rseq.None && row.limit != "assigned"; tested != wantTest {
				t.Errorf("the kernel was tested: %v, want %v", tested, wantTest)
			}
			if f.Owner != row.ground.Owner.String() || f.KernelSize != row.ground.KernelSize ||
				f.KernelAlign != row.ground.KernelAlign || f.Registered != row.ground.Registered {
				t.Errorf("the ground is %+v, the features say %+v", *row.ground, f)
			}
			checkParts(t, f.Reason, row.reason)
		})
	}
}

// checkParts checks that text holds the parts, one after the other, and is
// empty when there are none.
func checkParts(t *testing.T, text string, parts []string) {
	t.Helper()
	if len(parts) == 0 && text != "" {
		t.Errorf("reason %q, want none", text)
	}
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("reason %q, want %q in it (in this order: %q)", text, part, parts)
		}
		rest = after
	}
}

func TestModeNames(t *testing.T) {
	for mode, name := range map[Mode]string{Assigned: "assigned", CPUID: "cpu_id", MMCID: "mm_cid"} {
		if mode.String() != name {
			t.Errorf("mode %d is %q, want %q", mode, mode, name)
		}
		if got, ok := parseMode(name); got != mode || !ok {
			t.Errorf("parseMode(%q) = %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "MM_CID", "mm_cid ", "cpuid", "0"} {
		if got, ok := parseMode(name); got != MMCID || ok {
			t.Errorf("parseMode(%q) = %v, %v; want the highest mode and false", name, got, ok)
		}
	}
	if Assigned >= CPUID || CPUID >= MMCID {
		t.Error("the modes are not in order, which a cap relies on")
	}
}

func TestHas(t *testing.T) {
	for _, row := range []struct {
		size, end int
		has       bool
	}{
		{20, rseq.EndFlags, true}, {20, rseq.EndNodeID, false}, {20, rseq.EndMMCID, false},
		{27, rseq.EndMMCID, false}, {28, rseq.EndMMCID, true}, {33, rseq.EndMMCID, true},
		{28, 29, false}, {0, rseq.EndCPUID, false},
		{28, 0, false}, {28, -1, false}, {0, 0, false}, {0, -1, false},
	} {
		if got := (Features{Size: row.size}).Has(row.end); got != row.has {
			t.Errorf("%d bytes, a field that ends at %d: %v", row.size, row.end, got)
		}
	}
}

// TestUnknownModeIsCutShort: text from outside is quoted, up to 64 characters of it.
func TestUnknownModeIsCutShort(t *testing.T) {
	long := strings.Repeat("é", 1000) + "\n"
	want := `"` + strings.Repeat("é", 64) + `"`
	f := look(groundOf(28), long, func(*rseq.Ground) error { return nil })
	if !strings.HasPrefix(f.Reason, "VCPUALLOC_MODE="+want+" is ignored") || f.Mode != MMCID {
		t.Errorf("mode %v, reason %q", f.Mode, f.Reason)
	}
	if err := new(Mode).UnmarshalText([]byte(long)); err == nil || err.Error() != "vcpu: there is no mode "+want {
		t.Errorf("UnmarshalText: %v", err)
	}
	if err := new(Mode).UnmarshalText([]byte("a\n\x00")); err == nil || !strings.HasSuffix(err.Error(), `"a\n\x00"`) {
		t.Errorf("UnmarshalText: %v", err)
	}
}

// TestProbeHere checks what Probe says of this very process against the ground
// and the environment.
func TestProbeHere(t *testing.T) {
	f := Probe()
	t.Logf("%+v", f)
	if again := Probe(); again != f {
		t.Errorf("the second answer is %+v, the first was %+v", again, f)
	}
	want := MMCID
	switch {
	case f.Owner == rseq.None.String():
		want = Assigned
	case !f.Has(rseq.EndMMCID):
		want = CPUID
	}
	if limit, known := parseMode(os.Getenv(modeVariable)); known {
		want = min(want, limit)
	}
	// amd64 has no kernel that breaks its promise.
	broken := runtime.GOARCH == "arm64" && f.Mode == Assigned && strings.Contains(f.Reason, "sections are not aborted")
	if f.Mode != want && !broken {
		t.Errorf("mode %v, want %v", f.Mode, want)
	}
	if f.Reason == "" && f.Mode != MMCID {
		t.Errorf("mode %v without a reason", f.Mode)
	}
	if f.Fence && f.Owner == rseq.None.String() {
		t.Error("a fence without rseq")
	}
}
