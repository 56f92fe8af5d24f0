//go:build amd64 || arm64

package rseqcs

import (
	"sync/atomic"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// inspect shows every section of every variant: where its function starts, and
// its descriptor, which is zero in the variants that this process does not run.
// internal/stepper reaches it by linkname, so that nothing of this is exported.
func inspect(show func(entry unsafe.Pointer, descriptor *rseq.Descriptor)) {
	prepare()
	for variant := range sectionTable() {
		for section, entry := range sectionTable()[variant] {
			show(entry, &sectionDescriptors()[variant][section])
		}
	}
}

// windCountdowns sets the countdown of every slab of s; at ^uint64(0) the next byte
// carries it over. internal/stepper reaches it by linkname, as inspect.
func windCountdowns(s *Stack, to uint64) {
	for id := range s.vcpuSlabs + s.pSlabs {
		atomic.StoreUint64(countdownAt(s.slab(id)), to)
	}
}
