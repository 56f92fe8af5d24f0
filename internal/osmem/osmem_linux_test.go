//go:build !vcpualloc_gomem

package osmem

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMostAtOnce(t *testing.T) {
	const all = ^uintptr(0)
	for kernel, want := range map[string]uintptr{
		"6.18.15+deb13-cloud-amd64": all,
		"6.19.14+deb13-cloud-amd64": 1 << 20,
		"7.0.13":                    1 << 20,
		"7.2.0-rc1":                 1 << 20,
		"7.3.4":                     all,
		"5.10.0-32-cloud-amd64":     all,
		"16.19.0":                   all,
		"":                          all,
	} {
		if got := mostAtOnce(kernel, 4096); got != want {
			t.Errorf("kernel %q: %d bytes at once, want %d", kernel, got, want)
		}
	}
	if got := mostAtOnce("7.0.13", 16384); got != 16<<20 {
		t.Errorf("with OS pages of 16 KiB: %d bytes at once, want half of the 32 MiB of a page table", got)
	}
}

// TestReleaseAsksForLockedOnlyIfRefused: memory that is not locked goes with the first call.
func TestReleaseAsksForLockedOnlyIfRefused(t *testing.T) {
	has := releasesLocked
	defer func() { releasesLocked = has }()
	releasesLocked = func() bool {
		t.Error("the kernel was asked whether it releases locked memory")
		return false
	}
	r := reserve(t, Granule)
	if err := r.Back(Granule); err != nil {
		t.Fatal(err)
	}
	fill(r.Bytes(0, Granule), 1)
	if returned, zeroed, err := r.Release(0, Granule); returned != Granule || !zeroed || err != nil {
		t.Errorf("%d bytes returned, zeroed: %t; %v", returned, zeroed, err)
	}
}

// TestReleaseInPieces releases what takes several calls, the last one for less.
func TestReleaseInPieces(t *testing.T) {
	r := reserve(t, 4*Granule)
	if err := r.Back(r.Size); err != nil {
		t.Fatal(err)
	}
	for i := range r.Bytes(0, r.Size) {
		r.Bytes(0, r.Size)[i] = 1
	}
	first, end := PageSize(), r.Size-PageSize()
	if err := r.release(first, end, Granule); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Resident(r.Size); err != nil || got != 2*int64(PageSize()) {
		t.Errorf("%d bytes are resident, %v; want the first and the last OS page", got, err)
	}
	for i, value := range r.Bytes(0, r.Size) {
		if want := uintptr(i) < first || uintptr(i) >= end; (value == 1) != want {
			t.Fatalf("byte %d is %d", i, value)
		}
	}
}

// TestErrorsTellVerifiedCauses checks for each cause that it is told where the figures prove
// it, and not where they are one below.
func TestErrorsTellVerifiedCauses(t *testing.T) {
	const mib = 1 << 20
	free := facts{addresses: noLimit, data: noLimit, locked: noLimit, mostMappings: 65530}
	for _, row := range []struct {
		call   string
		action string
		err    error
		change func(f *facts, more uint64)
		want   string
	}{
		{"mmap", "", unix.ENOMEM, func(f *facts, more uint64) { f.addresses, f.size = 8*mib, 7*mib+more }, "RLIMIT_AS is 8.0 MiB, of which 7.0 MiB are used"},
		{"mprotect", "", unix.ENOMEM, func(f *facts, more uint64) { f.data, f.dataSize = 8*mib, 7*mib+more }, "RLIMIT_DATA is 8.0 MiB, of which 7.0 MiB are used"},
		{"mprotect", "", unix.ENOMEM, func(f *facts, more uint64) {
			f.neverOvercommit, f.promises, f.promised, f.reserve = true, 80*mib, 59*mib-1+more, 20*mib
		}, "vm.overcommit_memory is 2, and 59 MiB of 80 MiB are promised"},
		{"mmap", "", unix.ENOMEM, func(f *facts, more uint64) { f.mappings = 65530 - nearMappings - 1 + more }, "vm.max_map_count is 65,530, of which 65,514 are used"},
		{"mprotect", "", unix.ENOMEM, func(f *facts, more uint64) { f.mappings = 65530 - nearMappings - 1 + more }, "vm.max_map_count is 65,530, of which 65,514 are used"},
		{"munmap", "", unix.ENOMEM, func(f *facts, more uint64) { f.mappings = 65530 - nearMappings - 1 + more }, "vm.max_map_count is 65,530, of which 65,514 are used"},
		{"mmap", "", unix.EAGAIN, func(f *facts, more uint64) { f.locked, f.lockedSize = 8*mib, 7*mib+more }, "RLIMIT_MEMLOCK is 8.0 MiB, of which 7.0 MiB are used"},
		{"mmap", "", unix.EPERM, func(f *facts, more uint64) { f.filtered = more > 0 }, "a seccomp filter is installed"},
		{"madvise", releaseAction, unix.EINVAL, func(f *facts, more uint64) { f.lockedSize = more * mib }, "1.0 MiB are locked, which this kernel does not take back: Linux 5.18 can"},
		{"madvise", releaseAction, unix.EINVAL, func(f *facts, more uint64) { f.lockedSize, f.releasesLocked = mib, more == 0 }, "1.0 MiB are locked, which this kernel does not take back: Linux 5.18 can"},
	} {
		for more := range uint64(2) {
			f, want := free, ""
			if row.change(&f, more); more == 1 {
				want = row.want
			}
			e := &CallError{Action: row.action, Call: row.call, Size: mib, Err: row.err}
			if got := strings.Join(f.explain(e), ", "); got != want {
				t.Errorf("%s, %v, %+v:\n got %q\nwant %q", row.call, row.err, f, got, want)
			}
		}
	}
}

// TestCausesAreOfTheirCalls: a limit that the call does not count towards is not told,
// however full it is.
func TestCausesAreOfTheirCalls(t *testing.T) {
	full := facts{mappings: 1, mostMappings: 65530, neverOvercommit: true, filtered: true, lockedSize: 1}
	for _, row := range []struct {
		call string
		err  error
		want string
	}{
		{"mmap", unix.ENOMEM, "RLIMIT_AS is 0 B, of which 0 B are used"},
		{"mprotect", unix.ENOMEM, "RLIMIT_DATA is 0 B, of which 0 B are used, vm.overcommit_memory is 2, and 0 B of 0 B are promised"},
		{"munmap", unix.ENOMEM, ""},
		{"madvise", unix.ENOMEM, ""},
		{"madvise", unix.EAGAIN, ""},
		{"madvise", unix.EINVAL, ""},
		{"mprotect", unix.EINVAL, ""},
	} {
		e := &CallError{Action: "test", Call: row.call, Size: 1, Err: row.err}
		if got := strings.Join(full.explain(e), ", "); got != row.want {
			t.Errorf("%s, %v: %q, want %q", row.call, row.err, got, row.want)
		}
	}
}

// TestFactsAreRead compares what is read from /proc with what it has to be.
func TestFactsAreRead(t *testing.T) {
	var f facts
	f.readStatus([]byte("Name:\ttest\nVmSize:\t    1234 kB\nVmLck:\t       8 kB\nVmData:\t     100 kB\nSeccomp:\t2\nSeccomp_filters:\t1\n"))
	f.readPromises([]byte("MemTotal:       1 kB\nCommitLimit:    77 kB\nCommitted_AS:   66 kB\n"))
	if want := (facts{size: 1234 << 10, lockedSize: 8 << 10, dataSize: 100 << 10, filtered: true, promises: 77 << 10, promised: 66 << 10}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
	var buffer [4096]byte
	f = facts{}
	f.readStatus(readInto("/proc/self/status\x00", buffer[:]))
	if f.size < f.dataSize || f.dataSize == 0 {
		t.Errorf("%d bytes of addresses, %d of data", f.size, f.dataSize)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if got, want := countMappings(), strings.Count(string(maps), "\n"); err != nil || got < uint64(want)-5 || got > uint64(want)+50 {
		t.Errorf("%d mappings, %d lines in /proc/self/maps, %v", got, want, err)
	}
	if got := numberIn("/proc/sys/vm/max_map_count\x00"); got < 1000 {
		t.Errorf("vm.max_map_count is %d", got)
	}
	if got := numberIn("/proc/no such file\x00"); got != 0 {
		t.Errorf("a file that is not there holds %d", got)
	}
}

// TestExplainTakesLittle: making an error takes one object, and explaining one a few, since
// memory is short then.
func TestExplainTakesLittle(t *testing.T) {
	r := reserve(t, 2*Granule)
	r.Size = ^uintptr(0) >> 1 // the kernel refuses it
	var err error
	if n := testing.AllocsPerRun(10, func() { err = r.Back(r.Size) }); n > 1 || err == nil {
		t.Errorf("an error takes %v objects: %v", n, err)
	}
	r.Size = 2 * Granule
	if n := testing.AllocsPerRun(10, func() { Explain(&CallError{Call: "mprotect", Size: 1, Err: unix.ENOMEM}) }); n > 8 {
		t.Errorf("an explanation takes %v objects", n)
	}
}
