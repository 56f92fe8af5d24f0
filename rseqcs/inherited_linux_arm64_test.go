package rseqcs

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/regcall"
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

// TestUnregisteredNewcomer is TestUnregisteredThread on a thread whose thread pointer is
// zero, as that of the first one is, which every test has left behind: whatever is read
// there is a fault.
func TestUnregisteredNewcomer(t *testing.T) {
	if prepare(); rseq.Find().Owner != rseq.Self {
		return
	}
	withoutSections(t, func(t *testing.T) {
		code, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(code)
		const clear, back = 0xd51bd05f, 0xd65f03c0 // MSR ZR, TPIDR_EL0; RET
		binary.NativeEndian.PutUint32(code, clear)
		binary.NativeEndian.PutUint32(code[4:], back)
		if err := unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC); err != nil {
			t.Fatal(err)
		}
		regcall.Of[func()](unsafe.Pointer(unsafe.SliceData(code)))()
		if word := threadPointer(); word != 0 {
			t.Errorf("the thread pointer is %#x, not zero", word)
		}
	})
}
