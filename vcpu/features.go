package vcpu

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// Mode is how the running thread finds its arena.
type Mode uint8

const (
	Assigned Mode = iota // by its P: no usable rseq
	CPUID                // by the kernel's CPU number, read in a section
	MMCID                // by the kernel's concurrency id, read in a section
)

// String returns "mm_cid", "cpu_id" or "assigned", and "Mode(9)" for what is no mode.
func (m Mode) String() string {
	switch m {
	case MMCID:
		return "mm_cid"
	case CPUID:
		return "cpu_id"
	case Assigned:
		return "assigned"
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

// MarshalText implements encoding.TextMarshaler, with String.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	mode, ok := parseMode(string(text))
	if !ok {
		return fmt.Errorf("vcpu: there is no mode "+quoted, text)
	}
	*m = mode
	return nil
}

// modeVariable is the environment variable that caps the mode.
const modeVariable = "VCPUALLOC_MODE"

// quoted formats text from outside: at most its first 64 characters.
const quoted = "%.64q"

// parseMode is the inverse of String.
func parseMode(name string) (Mode, bool) {
	for _, m := range []Mode{Assigned, CPUID, MMCID} {
		if m.String() == name {
			return m, true
		}
	}
	return MMCID, false
}

// Features is what the running kernel and libc offer, and what was made of it.
type Features struct {
	KernelSize  int    // AT_RSEQ_FEATURE_SIZE in bytes; 0 where the kernel gives none
	KernelAlign int    // AT_RSEQ_ALIGN in bytes; 0 likewise
	Registered  int    // bytes of the area registered for this process's threads
	Size        int    // bytes of it that the kernel fills in
	Owner       string // who registers: "self", "libc" or "none"
	Mode        Mode
	Reason      string // why this mode and not a higher one, and that VCPUALLOC_MODE is ignored; empty where neither is so
	Fence       bool   // membarrier(PRIVATE_EXPEDITED_RSEQ) works
}

// Has reports whether the kernel fills in the field of struct rseq that ends at
// byte end: the check of the libc-alpha thread of September 2022,
// size >= offsetofend(struct rseq, field). No field ends at 0 or below.
func (f Features) Has(end int) bool { return end > 0 && f.Size >= end }

// Probe returns the features. The first call looks, registers and tests the
// kernel, for some milliseconds on a machine with a free CPU, up to half a second on
// one whose CPUs others want (300 ms where sections turn out to be broken, 3 s at the
// most); later calls cost a load. It may be called from any goroutine.
//
// It uses rseq, sched_setaffinity, sched_setattr and membarrier. Where a seccomp
// filter refuses them, with an error or by killing, the mode is a lower one and
// Reason says so; what kills is found out by a child process (internal/seccomp),
// which takes the longer the more memory this process has.
// Under VCPUALLOC_MODE=assigned none of them is called.
func Probe() Features { return *probe() }

var probe = sync.OnceValue(func() *Features {
	limit := os.Getenv(modeVariable)
	if limit == Assigned.String() {
		f := look(rseq.Unused(), limit, nil)
		f.Reason = becauseOf(Assigned)
		return &f
	}
	f := look(rseq.Find(), limit, selfTest)
	f.Fence = f.Owner != rseq.None.String() && rseq.HasFence()
	return &f
})

// becauseOf is the reason for a mode that the environment wants.
func becauseOf(limit Mode) string {
	return fmt.Sprintf("%s=%s in the environment", modeVariable, limit)
}

// look makes the features of the ground that was found, the cap from the
// environment and the test of the kernel.
func look(g *rseq.Ground, limit string, sound func(*rseq.Ground) error) (f Features) {
	f = Features{
		KernelSize:  g.KernelSize,
		KernelAlign: g.KernelAlign,
		Registered:  g.Registered,
		Owner:       g.Owner.String(),
		Reason:      g.Reason,
	}
	highest, known := parseMode(limit)
	if limit != "" && !known {
		defer func() {
			ignored := fmt.Sprintf("%s="+quoted+" is ignored: it is none of mm_cid, cpu_id, assigned", modeVariable, limit)
			if f.Reason != "" {
				ignored += "; " + f.Reason
			}
			f.Reason = ignored
		}()
	}
	if g.Owner == rseq.None {
		return f
	}
	f.Size = g.Size()
	f.Mode = MMCID
	if !f.Has(rseq.EndMMCID) {
		f.Mode = CPUID
		f.Reason = fmt.Sprintf("the kernel fills in %d bytes of struct rseq, mm_cid ends at %d (Linux 6.3 and later have it)", f.Size, rseq.EndMMCID)
	}
	if f.Mode > highest {
		f.Mode = highest
		f.Reason = becauseOf(highest)
	}
	if f.Mode == Assigned {
		return f
	}
	if err := sound(g); err != nil {
		f.Mode = Assigned
		f.Reason = err.Error()
	}
	return f
}
