//go:build amd64 || arm64

package rseqcs

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// TestDescriptorsFit looks at the code of every section of every variant: it
// begins behind START and ends behind its commit, to the instruction. What goes wrong
// too seldom for another test, or on no processor at hand, is read there, too: aborts
// that lose a count, and a slab that is loaded from before the count of vCPUs.
func TestDescriptorsFit(t *testing.T) {
	for variant, entries := range sectionTable() {
		for section, entry := range entries {
			name := fmt.Sprintf("variant %d, section %d", variant, section)
			d, err := rseq.Describe(entry)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			begin := uintptr(d.Start) - uintptr(entry)
			end := begin + uintptr(d.PostCommitOffset)
			code := unsafe.Slice((*byte)(entry), end)
			if variant != byP && !endsWithStart(code[:begin]) {
				t.Errorf("%s: the last instruction before it is not START: % x", name, code[max(0, int(begin)-8):begin])
			}
			if !endsWithCommit(code) {
				t.Errorf("%s: its last instruction is not a commit: % x", name, code[end-8:end])
			}
			if !slabFollowsCount(code[begin:]) {
				t.Errorf("%s: what it loads from the slab may be older than the count of vCPUs: % x", name, code[begin:])
			}
			const most = 64 // bytes from the abort label to the anchors
			if aborted := unsafe.Slice((*byte)(unsafe.Add(entry, uintptr(d.Abort)-uintptr(entry))), most); !countsAtomically(aborted) {
				t.Errorf("%s: an abort on two CPUs at once may be counted once: % x", name, aborted)
			}
		}
	}
}

// TestDescriptorsAreTheirOwn compares the descriptors that the kernel is given
// with the code.
func TestDescriptorsAreTheirOwn(t *testing.T) {
	variant := variantHere()
	if variant < 0 {
		return // no section runs here
	}
	for section, entry := range sectionTable()[variant] {
		if want, err := rseq.Describe(entry); err != nil || sectionDescriptors()[variant][section] != want {
			t.Errorf("section %d: %+v, want %+v (%v)", section, sectionDescriptors()[variant][section], want, err)
		}
	}
}

// TestVariantFits: the sections that run are those for who registers and for the id
// of the mode.
func TestVariantFits(t *testing.T) {
	f := vcpu.Probe()
	want := map[string]int{"self": selfMMCID, "libc": libcMMCID, "none": -1}[f.Owner]
	switch f.Mode {
	case vcpu.CPUID:
		want++
	case vcpu.Assigned:
		want = -1
	}
	if got := variantHere(); got != want {
		t.Errorf("variant %d, want %d for %v and areas of %s", got, want, f.Mode, f.Owner)
	}
}
