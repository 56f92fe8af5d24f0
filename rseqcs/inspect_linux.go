//go:build amd64 || arm64

package rseqcs

import (
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
