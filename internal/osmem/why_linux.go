//go:build !vcpualloc_gomem

package osmem

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// overcommitFile says whether the kernel promises memory that it may not have.
const overcommitFile = "/proc/sys/vm/overcommit_memory"

// why adds to an error of a memory call what may have caused it, as far as that can
// be told: the kernel has one number for many reasons.
func why(err error) error {
	var hints []string
	switch {
	case errors.Is(err, unix.ENOMEM):
		hints = append(bounded("RLIMIT_AS", unix.RLIMIT_AS), bounded("RLIMIT_DATA", unix.RLIMIT_DATA)...)
		if text, _ := os.ReadFile(overcommitFile); strings.TrimSpace(string(text)) == "2" {
			hints = append(hints, "vm.overcommit_memory is 2")
		}
		if mappingsUsedUp() {
			hints = append(hints, "vm.max_map_count is reached")
		}
	case errors.Is(err, unix.EAGAIN):
		hints = bounded("RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSYS):
		hints = []string{"perhaps a seccomp filter"}
	}
	if len(hints) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(hints, ", "))
}

// bounded says what a resource limit is, if there is one.
func bounded(name string, resource int) []string {
	var limit unix.Rlimit
	if unix.Getrlimit(resource, &limit) != nil || limit.Cur > 1<<62 {
		return nil
	}
	return []string{name + " is " + humanize.IBytes(limit.Cur)}
}

// mappingsUsedUp reports whether the process can have no more mappings. It tries,
// since counting them takes time where there are many.
func mappingsUsedUp() bool {
	page := PageSize()
	mapping, err := unix.MmapPtr(-1, 0, nil, 3*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|noReserve)
	if err != nil {
		// Of addresses so few are left only where a limit is told already.
		return err == unix.ENOMEM && bounded("", unix.RLIMIT_AS) == nil
	}
	r := Range{Base: mapping, Size: 3 * page}
	split := unix.Mprotect(r.Bytes(page, page), unix.PROT_READ)
	unix.MunmapPtr(mapping, 3*page)
	return split == unix.ENOMEM
}

// whyKept is why for memory that the system does not take back.
func whyKept(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w (locked memory, as by mlockall, cannot be returned)", err)
	}
	return why(err)
}
