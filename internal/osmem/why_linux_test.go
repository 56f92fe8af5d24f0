//go:build !vcpualloc_gomem

package osmem

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// system is what a test lets a process see.
type system struct {
	files  map[string]string
	limits map[int]uint64
	opened map[string]int
}

// install replaces what the kernel says until the test ends.
func (s *system) install(t *testing.T) {
	t.Helper()
	open, get, has := openRaw, getrlimit, releasesLocked
	t.Cleanup(func() { openRaw, getrlimit, releasesLocked = open, get, has })
	s.opened = make(map[string]int)
	openRaw = func(path string) int {
		name, ended := strings.CutSuffix(path, "\x00")
		if !ended {
			t.Errorf("%q does not end in 0", path)
		}
		s.opened[name]++
		text, ok := s.files[name]
		if !ok {
			return -1
		}
		file, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		for len(text) > 0 {
			n, err := unix.Write(file, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		if _, err := unix.Seek(file, 0, 0); err != nil {
			t.Fatal(err)
		}
		return file
	}
	getrlimit = func(resource int, l *unix.Rlimit) error {
		value, ok := s.limits[resource]
		if !ok {
			return unix.EINVAL
		}
		l.Cur, l.Max = value, value
		return nil
	}
}

const (
	statusFile  = "/proc/thread-self/status"
	mapsFile    = "/proc/self/maps"
	memoryFile  = "/proc/meminfo"
	modeFile    = "/proc/sys/vm/overcommit_memory"
	mostFile    = "/proc/sys/vm/max_map_count"
	adminFile   = "/proc/sys/vm/admin_reserve_kbytes"
	userFile    = "/proc/sys/vm/user_reserve_kbytes"
	status      = "Name:\ttest\nVmSize:\t  640 kB\nVmLck:\t  128 kB\nVmData:\t  256 kB\nSeccomp:\t0\n"
	unlimited   = ^uint64(0)
	callOfBytes = 64 << 10
)

// TestErrorsAreExplainedByWhatIsRead has the files and limits that a kernel would show.
func TestErrorsAreExplainedByWhatIsRead(t *testing.T) {
	noLimits := map[int]uint64{unix.RLIMIT_AS: unlimited, unix.RLIMIT_DATA: unlimited, unix.RLIMIT_MEMLOCK: unlimited}
	only := func(resource int, value uint64) map[int]uint64 {
		limits := map[int]uint64{unix.RLIMIT_AS: unlimited, unix.RLIMIT_DATA: unlimited, unix.RLIMIT_MEMLOCK: unlimited}
		limits[resource] = value
		return limits
	}
	// 640/32 and 8 KiB are kept from the process: 400 + 64 + 20 + 8 = 492. 19 KiB are less
	// than 640/32.
	overcommit := func(mode, limit, user string) map[string]string {
		return map[string]string{
			statusFile: status, modeFile: mode, adminFile: "8\n", userFile: user,
			memoryFile: "MemTotal: 1 kB\nCommitLimit: " + limit + " kB\nCommitted_AS: 400 kB\n",
		}
	}
	mappings := func(most string, count int) map[string]string {
		line := "00400000-00401000 r--p 00000000 00:00 0 " + strings.Repeat("x", 60) + "\n"
		return map[string]string{statusFile: status, mostFile: most, mapsFile: strings.Repeat(line, count)}
	}
	plain := map[string]string{statusFile: status}
	for _, row := range []struct {
		call   string
		err    error
		limits map[int]uint64
		files  map[string]string
		want   string
		unread string // a file that is not needed
	}{
		{"mmap", unix.ENOMEM, only(unix.RLIMIT_AS, 703<<10), plain, "RLIMIT_AS is 703 KiB, of which 640 KiB are used", memoryFile},
		{"mmap", unix.ENOMEM, only(unix.RLIMIT_AS, 704<<10), plain, "", mapsFile},
		{"mmap", unix.ENOMEM, only(unix.RLIMIT_DATA, 1), plain, "", ""},
		{"mmap", unix.ENOMEM, map[int]uint64{}, plain, "", ""},
		{"mprotect", unix.ENOMEM, only(unix.RLIMIT_DATA, 319<<10), plain, "RLIMIT_DATA is 319 KiB, of which 256 KiB are used", ""},
		{"mprotect", unix.ENOMEM, only(unix.RLIMIT_DATA, 320<<10), plain, "", ""},
		{"mprotect", unix.ENOMEM, only(unix.RLIMIT_AS, 1), plain, "", ""},
		{"mmap", unix.EAGAIN, only(unix.RLIMIT_MEMLOCK, 191<<10), plain, "RLIMIT_MEMLOCK is 191 KiB, of which 128 KiB are used", modeFile},
		{"mprotect", unix.EAGAIN, only(unix.RLIMIT_MEMLOCK, 191<<10), plain, "RLIMIT_MEMLOCK is 191 KiB, of which 128 KiB are used", ""},
		{"mmap", unix.EAGAIN, only(unix.RLIMIT_MEMLOCK, 192<<10), plain, "", ""},
		{"madvise", unix.EAGAIN, only(unix.RLIMIT_MEMLOCK, 1), plain, "", ""},
		{"mprotect", unix.ENOMEM, noLimits, overcommit("2\n", "492", "1000\n"), "vm.overcommit_memory is 2, and 400 KiB of 492 KiB are promised", ""},
		{"mprotect", unix.ENOMEM, noLimits, overcommit("2\n", "493", "1000\n"), "", ""},
		{"mprotect", unix.ENOMEM, noLimits, overcommit("2\n", "491", "19\n"), "vm.overcommit_memory is 2, and 400 KiB of 491 KiB are promised", ""},
		{"mprotect", unix.ENOMEM, noLimits, overcommit("2\n", "492", "19\n"), "", ""},
		{"mprotect", unix.ENOMEM, noLimits, overcommit("1\n", "1", "1000\n"), "", memoryFile},
		{"mprotect", unix.ENOMEM, noLimits, overcommit("0\n", "1", "1000\n"), "", userFile},
		{"mmap", unix.ENOMEM, noLimits, overcommit("2\n", "1", "1000\n"), "", ""},
		{"mmap", unix.ENOMEM, noLimits, mappings("1000\n", 984), "vm.max_map_count is 1,000, of which 984 are used", ""},
		{"munmap", unix.ENOMEM, noLimits, mappings("1000\n", 983), "", ""},
		{"mprotect", unix.ENOMEM, noLimits, map[string]string{statusFile: status, mostFile: "1\n"}, "vm.max_map_count is 1, of which 0 are used", ""},
		{"mprotect", unix.ENOMEM, noLimits, map[string]string{mapsFile: "a\nb\n"}, "", mapsFile},
		{"mprotect", unix.EPERM, noLimits, map[string]string{statusFile: "Seccomp:\t2\n"}, "a seccomp filter is installed", mapsFile},
		{"mprotect", unix.EACCES, noLimits, map[string]string{statusFile: "Seccomp:\t2\n"}, "a seccomp filter is installed", ""},
		{"mprotect", unix.ENOSYS, noLimits, map[string]string{statusFile: "Seccomp:\t2\n"}, "a seccomp filter is installed", ""},
		{"mprotect", unix.EPERM, noLimits, map[string]string{statusFile: "Seccomp:\t1\n"}, "", ""},
		{"mprotect", unix.EINVAL, noLimits, map[string]string{statusFile: "Seccomp:\t2\n"}, "", ""},
	} {
		s := &system{files: row.files, limits: row.limits}
		s.install(t)
		e := &CallError{Action: "test", Call: row.call, Size: callOfBytes, Err: row.err}
		if got := reasons(e); got != row.want || row.unread != "" && s.opened[row.unread] > 0 {
			t.Errorf("%s, %v, limits %v, %q:\n got %q\nwant %q; %s was read: %t", row.call, row.err, row.limits, row.files[memoryFile]+row.files[mostFile], got, row.want, row.unread, s.opened[row.unread] > 0)
		}
	}
	for _, has := range []bool{false, true} {
		for _, err := range []error{unix.EINVAL, unix.EIO} {
			s := &system{files: plain, limits: noLimits}
			s.install(t)
			releasesLocked = func() bool { return has }
			want := ""
			if !has && err == unix.EINVAL {
				want = "128 KiB are locked, which this kernel does not take back: Linux 5.18 can"
			}
			if got := reasons(&CallError{Action: releaseAction, Call: "madvise", Size: 1, Err: err}); got != want {
				t.Errorf("%v, a kernel that releases locked memory: %t: %q, want %q", err, has, got, want)
			}
		}
	}
}

// TestExplainIsOnceAndLeavesOthersAlone: an error is explained once, wherever it is
// wrapped, and one that is no CallError stays as it is.
func TestExplainIsOnceAndLeavesOthersAlone(t *testing.T) {
	s := &system{files: map[string]string{statusFile: "Seccomp:\t2\n"}}
	s.install(t)
	e := &CallError{Action: "back", Call: "mprotect", Size: 64 << 10, Err: unix.EPERM}
	wrapped := errors.Join(errors.New("first"), e)
	for range 2 {
		if got := Explain(wrapped); got != wrapped {
			t.Errorf("another error: %v", got)
		}
	}
	if want := "osmem: back: mprotect of 64 KiB: operation not permitted (a seccomp filter is installed)"; e.Error() != want || s.opened[statusFile] != 1 {
		t.Errorf("%q, want %q; read %d times", e.Error(), want, s.opened[statusFile])
	}
	for _, other := range []error{nil, unix.EPERM} {
		if got := Explain(other); got != other || s.opened[statusFile] != 1 {
			t.Errorf("%v has become %v; read %d times", other, got, s.opened[statusFile])
		}
	}
}

// TestReadingLeavesNothingOpen reads more often than a process may have files open, and in
// small pieces.
func TestReadingLeavesNothingOpen(t *testing.T) {
	lowest := func() int {
		file, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(file)
		return file
	}
	before := lowest()
	var buffer [64]byte
	for range 100 {
		readInto("/proc/self/status\x00", buffer[:])
		countMappings()
	}
	if after := lowest(); after > before+50 {
		t.Errorf("the lowest free file number was %d, and is %d", before, after)
	}
	// A socket of packets gives one with each read. All are there before, since a raw read
	// that waits would hold up the runtime.
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[1])
	open := openRaw
	defer func() { openRaw = open }()
	openRaw = func(string) int { return ends[0] }
	for _, packet := range []string{"abc", strings.Repeat("d", 70)} {
		if _, err := unix.Write(ends[1], []byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(readInto("", buffer[:])); got != "abc"+strings.Repeat("d", 61) {
		t.Errorf("%q", got)
	}
	openRaw = func(string) int { return -1 }
	if got := readInto("", buffer[:]); got != nil {
		t.Errorf("of no file: %q", got)
	}
	if got := countMappings(); got != 0 {
		t.Errorf("%d mappings in no file", got)
	}
}
