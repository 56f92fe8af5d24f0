//go:build (amd64 || arm64) && !vcpualloc_gomem

package osmem

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/modes/filter"
)

// TestErrorsOfFilterNameNoLimit has a seccomp filter answer mprotect: the error has the
// call, the size and the number, and names no limit, since none is reached.
func TestErrorsOfFilterNameNoLimit(t *testing.T) {
	for _, row := range []struct{ rule, want string }{
		{"mprotect=ENOMEM", "osmem: back: mprotect of 64 KiB: cannot allocate memory"},
		{"mprotect=EPERM", "osmem: back: mprotect of 64 KiB: operation not permitted (a seccomp filter is installed)"},
		{"mprotect=ENOSYS", "osmem: back: mprotect of 64 KiB: function not implemented (a seccomp filter is installed)"},
		{"mprotect=EINVAL", "osmem: back: mprotect of 64 KiB: invalid argument"},
	} {
		r := reserve(t, 2*Granule)
		rule, err := filter.Parse(row.rule)
		if err != nil {
			t.Fatal(err)
		}
		type result struct{ installed, backed error }
		done := make(chan result)
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			installed := filter.Install([]filter.Rule{rule})
			done <- result{installed, Explain(r.Back(Granule))}
		}()
		got := <-done
		if got.installed != nil {
			t.Skipf("no filter can be installed here: %v", got.installed)
		}
		if got.backed == nil || got.backed.Error() != row.want {
			t.Errorf("%s: %v\nwant %s", row.rule, got.backed, row.want)
		}
		if err := r.Back(Granule); err != nil {
			t.Errorf("%s, on another thread: %v", row.rule, err)
		}
	}
}

// TestReleaseOfLockedMemory locks memory in each way, as a whole and a part of it, which
// is then a mapping of its own.
func TestReleaseOfLockedMemory(t *testing.T) {
	page := int(PageSize())
	ways := map[string]func(memory []byte) error{
		"mlock":  unix.Mlock,
		"mlock2": func(memory []byte) error { return mlockOnFault(memory) },
	}
	for name, lock := range ways {
		for _, part := range [][2]int{{0, 4 * Granule}, {0, page}, {page, 2 * page}, {4*Granule - page, 4 * Granule}} {
			r := reserve(t, 4*Granule)
			if err := r.Back(r.Size); err != nil {
				t.Fatal(err)
			}
			memory := r.Bytes(0, r.Size)
			if err := lock(memory[part[0]:part[1]]); err != nil {
				t.Skipf("no memory can be locked here: %v", err)
			}
			fill(memory, 1)
			checkRelease(t, name, r, part)
		}
	}
}

func mlockOnFault(memory []byte) error {
	const onFault = 1 // MLOCK_ONFAULT of include/uapi/asm-generic/mman.h
	_, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(unsafe.SliceData(memory))), uintptr(len(memory)), onFault)
	if errno != 0 {
		return errno
	}
	return nil
}

// checkRelease releases a range of which a part is locked, first as a kernel does that
// takes no locked memory back.
func checkRelease(t *testing.T, name string, r *Range, part [2]int) {
	t.Helper()
	has := releasesLocked
	releasesLocked = func() bool { return false }
	returned, zeroed, err := r.Release(0, r.Size)
	text := ""
	if err != nil {
		text = Explain(err).Error()
	}
	releasesLocked = has
	if returned != 0 || zeroed || !errors.Is(err, unix.EINVAL) || !strings.Contains(text, "KiB are locked, which this kernel does not take back") {
		t.Errorf("%s of %v, an older kernel: %d bytes returned, zeroed: %t; %v", name, part, returned, zeroed, err)
	}
	if !releasesLocked() {
		t.Logf("%s: this kernel takes no locked memory back", name)
		return
	}
	returned, zeroed, err = r.Release(0, r.Size)
	if resident, failed := r.Resident(r.Size); returned != r.Size || !zeroed || err != nil || resident != 0 || failed != nil {
		t.Errorf("%s of %v: %d bytes returned, zeroed: %t; %v; %d are resident, %v", name, part, returned, zeroed, err, resident, failed)
	}
	if at := r.Bytes(uintptr(part[0]), 1); at[0] != 0 {
		t.Errorf("%s of %v: a byte is %d", name, part, at[0])
	}
	// The lock is still there: without MADV_DONTNEED_LOCKED the part is refused again.
	if err := unix.Madvise(r.Bytes(uintptr(part[0]), uintptr(part[1]-part[0])), unix.MADV_DONTNEED); err != unix.EINVAL {
		t.Errorf("%s of %v: MADV_DONTNEED: %v, want EINVAL", name, part, err)
	}
}
