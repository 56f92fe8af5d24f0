//go:build (amd64 || arm64) && !vcpualloc_gomem

package alloc

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/modes/filter"
)

// TestErrorsTellWhatTheSystemRefused has a seccomp filter refuse mprotect: the error names
// the call, its size and its error number, and a cause only where that is sure.
func TestErrorsTellWhatTheSystemRefused(t *testing.T) {
	for _, row := range []struct {
		rule, want string
		number     error
	}{
		{"mprotect=EPERM", ": operation not permitted (a seccomp filter is installed)", unix.EPERM},
		{"mprotect=ENOMEM", ": cannot allocate memory", unix.ENOMEM},
	} {
		a := open(t, Options{})
		rule, err := filter.Parse(row.rule)
		if err != nil {
			t.Fatal(err)
		}
		type result struct{ installed, refused error }
		done := make(chan result)
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			r := result{installed: filter.Install([]filter.Rule{rule})}
			_, r.refused = a.Alloc(8 << 20)
			done <- r
		}()
		r := <-done
		if r.installed != nil {
			t.Skipf("no filter can be installed here: %v", r.installed)
		}
		if r.refused == nil || !errors.Is(r.refused, ErrNoMemory) || !errors.Is(r.refused, row.number) ||
			!strings.Contains(r.refused.Error(), "mprotect of ") || !strings.HasSuffix(r.refused.Error(), row.want) {
			t.Errorf("%s: %v\nwant ...%s", row.rule, r.refused, row.want)
		}
		if b, err := a.Alloc(8 << 20); err != nil {
			t.Errorf("%s, on another thread: %v", row.rule, err)
		} else {
			a.Free(b)
		}
	}
}
