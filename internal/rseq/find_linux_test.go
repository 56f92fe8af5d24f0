//go:build amd64 || arm64

package rseq

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// soundReadings are those of a thread on which the word may be used.
func soundReadings() readings {
	const m = 0xc000_0000
	return readings{storedG: 0x1000, g: 0x1000, m: m, fs: m + 0x100}
}

func TestReadingsCheck(t *testing.T) {
	amd64 := runtime.GOARCH == "amd64"
	for _, row := range []struct {
		name   string
		change func(*readings)
		refuse string
		only   bool // whether this is looked at on this architecture
	}{
		{"sound", func(*readings) {}, "", true},
		{"g elsewhere", func(r *readings) { r.storedG = 0x2000 }, "does not keep g where it was expected", true},
		{"no g", func(r *readings) { r.storedG, r.g = 0, 0 }, "does not keep g", true},
		{"no m", func(r *readings) { r.m = 0 }, "g.m is not at offset 48", true},
		{"FS unknown", func(r *readings) { r.fs = 0 }, "does not point into the M", amd64},
		{"FS below m", func(r *readings) { r.fs = r.m - 8 }, "does not point into the M", amd64},
		{"FS at the end of m", func(r *readings) { r.fs = r.m + maxSizeOfM - 24 }, "does not point into the M", amd64},
		{"FS at m", func(r *readings) { r.fs = r.m }, "", true},
		{"FS with all its words in m", func(r *readings) { r.fs = r.m + maxSizeOfM - 32 }, "", true},
		{"word in use", func(r *readings) { r.word = 0x77 }, "the spare thread word is in use (it holds 0x77)", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := soundReadings()
			row.change(&r)
			got := r.check()
			switch {
			case (row.refuse == "" || !row.only) && got != "":
				t.Errorf("refused: %s", got)
			case row.refuse != "" && row.only && !strings.Contains(got, row.refuse):
				t.Errorf("got %q, want %q in it", got, row.refuse)
			}
		})
	}
}

// TestReadThread takes the readings of a fresh thread, where they must be sound
// in a program without cgo.
func TestReadThread(t *testing.T) {
	if isCgo() {
		return // the guard is not asked, and the readings are of libc's words
	}
	Find()
	onFreshThread(t, func() {
		if reason := readThread().check(); reason != "" {
			t.Error(reason)
		}
	})
	onFreshThread(t, func() {
		if !EnsureThread() {
			t.Error("the thread cannot register")
		}
		if reason := readThread().check(); !strings.Contains(reason, "in use") {
			t.Errorf("after the registration: %q", reason)
		}
	})
}

func TestRefusal(t *testing.T) {
	for errno, part := range map[syscall.Errno]string{
		0:              "no memory",
		syscall.ENOSYS: "no rseq (ENOSYS: before 4.18, a sandbox such as gVisor, or a seccomp filter)",
		syscall.EPERM:  "forbidden (EPERM: a seccomp filter)",
		syscall.EINVAL: "somebody else has registered",
		syscall.EFAULT: "refuses rseq (bad address)",
	} {
		if got := refusal(errno); !strings.Contains(got, part) {
			t.Errorf("%d: %q, want %q in it", errno, got, part)
		}
	}
}

// TestFindHere checks the ground of this process against the auxiliary vector
// and the way it was built.
func TestFindHere(t *testing.T) {
	g := Find()
	t.Logf("%+v", *g)
	vector, err := unix.Auxv()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[uintptr]int)
	for _, entry := range vector {
		values[entry[0]] = int(entry[1])
	}
	if g.KernelSize != values[atRseqFeatureSize] || g.KernelAlign != values[atRseqAlign] {
		t.Errorf("size %d, align %d; the auxiliary vector has %d, %d", g.KernelSize, g.KernelAlign, values[atRseqFeatureSize], values[atRseqAlign])
	}
	if (g.Owner == None) != (g.Reason != "") {
		t.Errorf("owner %v, reason %q", g.Owner, g.Reason)
	}
	if g.Owner == None {
		return
	}
	if want := map[bool]Owner{false: Self, true: Libc}[isCgo()]; g.Owner != want {
		t.Errorf("owner %v, want %v", g.Owner, want)
	}
	if g.Registered < MinLength || g.Size() < OriginalSize {
		t.Errorf("%d bytes registered, %d of them filled in", g.Registered, g.Size())
	}
	if g.Owner == Self && g.Registered < g.KernelSize {
		t.Errorf("%d bytes registered, the kernel would fill in %d", g.Registered, g.KernelSize)
	}
}

func TestGroundSize(t *testing.T) {
	for _, row := range []struct{ kernel, registered, want int }{
		{0, 32, 20}, {20, 32, 20}, {28, 32, 28}, {33, 33, 33}, {33, 32, 32}, {28, 0, 0},
	} {
		g := Ground{KernelSize: row.kernel, Registered: row.registered}
		if got := g.Size(); got != row.want {
			t.Errorf("kernel %d, registered %d: %d, want %d", row.kernel, row.registered, got, row.want)
		}
	}
}

func TestOnTwoThreads(t *testing.T) {
	for range 20 {
		if ids := onTwoThreads(unix.Gettid); ids[0] == ids[1] {
			t.Errorf("twice thread %d", ids[0])
		}
	}
}

func TestParseMapping(t *testing.T) {
	for _, row := range []struct {
		line  string
		start uintptr
		path  string
		ok    bool
	}{
		{"7f2f17b3d000-7f2f17b65000 r--p 00000000 fd:00 1443                       /usr/lib/ld-2.36.so", 0x7f2f17b3d000, "/usr/lib/ld-2.36.so", true},
		{"00400000-00452000 r-xp 00000000 08:02 173521 /home/some one/my program", 0x400000, "/home/some one/my program", true},
		{"00400000-00452000 r-xp 00000000 08:02 173521      /tmp/a (deleted)", 0x400000, "/tmp/a (deleted)", true},
		{"7ffc8a9f0000-7ffc8aa11000 rw-p 00000000 00:00 0                          [stack]", 0, "", false},
		{"7f0000000000-7f0000001000 rw-p 00000000 00:00 0    [anon:a/b /c]", 0, "", false},
		{"c000000000-c000400000 rw-p 00000000 00:00 0 ", 0, "", false},
		{"", 0, "", false},
		{"zz-zz r--p 00000000 fd:00 1443 /lib/libc.so.6", 0, "/lib/libc.so.6", false},
	} {
		start, path, ok := parseMapping(row.line)
		if start != row.start || path != row.path || ok != row.ok {
			t.Errorf("%q: %#x, %q, %v", row.line, start, path, ok)
		}
	}
}

func TestMayHoldLibc(t *testing.T) {
	const program = "/opt/server"
	for path, want := range map[string]bool{
		"/lib64/ld-linux-x86-64.so.2": true,
		"/lib/ld-2.35.so":             true,
		"/lib/ld-musl-aarch64.so.1":   true,
		"/usr/lib/ld.so.1":            true,
		"/usr/lib/libc.so.6":          true,
		"/usr/lib/libc-2.36.so":       true,
		program:                       true,
		"/opt/other":                  false,
		"/usr/lib/libm.so.6":          false,
		"/usr/lib/ldap.so":            false,
	} {
		if got := mayHoldLibc(path, program); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestRseqSymbols looks into files that have no such symbols.
func TestRseqSymbols(t *testing.T) {
	notELF := filepath.Join(t.TempDir(), "libc.so")
	if err := os.WriteFile(notELF, []byte("GROUP ( /lib/libc.so.6 )"), 0o644); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{notELF, notELF + ".missing", program} {
		if offsetAt, sizeAt := rseqSymbols(path, 0x400000); offsetAt != 0 || sizeAt != 0 {
			t.Errorf("%s: %#x, %#x", path, offsetAt, sizeAt)
		}
	}
	if _, _, found, err := libcSymbols(); err != nil || found && !isCgo() {
		t.Errorf("symbols found: %v, %v; this program uses cgo: %v", found, err, isCgo())
	}
}
