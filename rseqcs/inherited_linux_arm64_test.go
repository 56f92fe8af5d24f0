package rseqcs

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/rseq"
)

// TestUnregisteredHeir is TestUnregisteredThread on a thread whose thread pointer names
// an area of another M, as clone(2) leaves it. The area itself is sound, so nothing but
// its owner tells.
func TestUnregisteredHeir(t *testing.T) {
	if prepare(); rseq.Find().Owner != rseq.Self {
		return // each thread's pointer is its own
	}
	withoutSections(t, func(*testing.T) {
		area := threadWord()
		owner := (*unsafe.Pointer)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&area)), rseq.OffsetOwner))
		*owner = unsafe.Pointer(new(token))
	})
}
