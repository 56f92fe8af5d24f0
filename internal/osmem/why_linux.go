//go:build !vcpualloc_gomem

package osmem

import (
	"bytes"
	"errors"
	"strings"
	"unsafe"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// reasons returns the verified causes of a failed call. Those that depend on sizes are told
// with figures, read after the call, so another thread may have moved them.
func reasons(e *CallError) string {
	f := facts{
		addresses: limitOf(unix.RLIMIT_AS),
		data:      limitOf(unix.RLIMIT_DATA),
		locked:    limitOf(unix.RLIMIT_MEMLOCK),
	}
	var buffer [4096]byte
	// A seccomp filter may be that of one thread: the running one is most likely the one
	// that made the call.
	f.readStatus(readInto("/proc/thread-self/status\x00", buffer[:]))
	if errors.Is(e.Err, unix.ENOMEM) {
		f.neverOvercommit = numberIn("/proc/sys/vm/overcommit_memory\x00") == 2
		if f.neverOvercommit {
			f.readPromises(readInto("/proc/meminfo\x00", buffer[:]))
			f.reserve = (numberIn("/proc/sys/vm/admin_reserve_kbytes\x00") +
				min(numberIn("/proc/sys/vm/user_reserve_kbytes\x00"), f.size>>10/32)) << 10
		}
		if f.mostMappings = numberIn("/proc/sys/vm/max_map_count\x00"); f.mostMappings > 0 {
			f.mappings = countMappings()
		}
	}
	f.releasesLocked = errors.Is(e.Err, unix.EINVAL) && releasesLocked()
	return strings.Join(f.explain(e), ", ")
}

// facts is what the kernel tells of a process and its limits. Sizes are in bytes; 0 stands
// for what is not told.
type facts struct {
	addresses, data, locked limit

	size, dataSize, lockedSize uint64 // counted towards these limits
	filtered                   bool   // a seccomp filter is installed

	neverOvercommit    bool   // vm.overcommit_memory is 2
	promised, promises uint64 // memory the kernel has promised, and the most it promises
	reserve            uint64 // the part of promises that this process may not have

	mappings, mostMappings uint64
	releasesLocked         bool
}

// limit is a resource limit in bytes, noLimit for none.
type limit uint64

const noLimit = ^limit(0) // RLIM_INFINITY

var getrlimit = unix.Getrlimit // tests replace it, and openRaw

func limitOf(resource int) limit {
	var l unix.Rlimit
	if getrlimit(resource, &l) != nil {
		return noLimit
	}
	return limit(l.Cur)
}

// exceeded says that so many bytes more than are in use exceed the limit, or nothing.
func (l limit) exceeded(name string, use, more uint64) []string {
	if use+more <= uint64(l) {
		return nil
	}
	return []string{name + " is " + humanize.IBytes(uint64(l)) + ", of which " + humanize.IBytes(use) + " are used"}
}

// nearMappings is how many mappings below vm.max_map_count count as none left: one call
// makes up to two, and those made before it for the same purpose may be gone.
const nearMappings = 16

// explain returns the causes of e that the facts prove.
func (f *facts) explain(e *CallError) (causes []string) {
	more := uint64(e.Size)
	switch {
	case errors.Is(e.Err, unix.ENOMEM):
		// mm/mmap.c and mm/mprotect.c: addresses count when they are mapped, data when it
		// becomes writable; a mapping that is split needs another one.
		if e.Call == "mmap" {
			causes = f.addresses.exceeded("RLIMIT_AS", f.size, more)
		}
		if e.Call == "mprotect" {
			causes = append(causes, f.data.exceeded("RLIMIT_DATA", f.dataSize, more)...)
			if f.neverOvercommit && f.promised+more+f.reserve >= f.promises {
				causes = append(causes, "vm.overcommit_memory is 2, and "+humanize.IBytes(f.promised)+" of "+humanize.IBytes(f.promises)+" are promised")
			}
		}
		if f.mostMappings > 0 && f.mappings+nearMappings >= f.mostMappings {
			causes = append(causes, "vm.max_map_count is "+humanize.Comma(int64(f.mostMappings))+", of which "+humanize.Comma(int64(f.mappings))+" are used")
		}
	case errors.Is(e.Err, unix.EAGAIN):
		if e.Call == "mmap" || e.Call == "mprotect" {
			causes = f.locked.exceeded("RLIMIT_MEMLOCK", f.lockedSize, more)
		}
	case errors.Is(e.Err, unix.EPERM), errors.Is(e.Err, unix.EACCES), errors.Is(e.Err, unix.ENOSYS):
		if f.filtered {
			causes = []string{"a seccomp filter is installed"}
		}
	case errors.Is(e.Err, unix.EINVAL):
		if e.Action == releaseAction && f.lockedSize > 0 && !f.releasesLocked {
			causes = []string{humanize.IBytes(f.lockedSize) + " are locked, which this kernel does not take back: Linux 5.18 can"}
		}
	}
	return causes
}

// readStatus takes what is of use from /proc/self/status.
func (f *facts) readStatus(text []byte) {
	f.size = kilobytes(text, "VmSize:")
	f.lockedSize = kilobytes(text, "VmLck:")
	f.dataSize = kilobytes(text, "VmData:")
	const filter = 2 // SECCOMP_MODE_FILTER
	f.filtered = numberBehind(text, "Seccomp:") == filter
}

// readPromises takes what is of use from /proc/meminfo.
func (f *facts) readPromises(text []byte) {
	f.promises = kilobytes(text, "CommitLimit:")
	f.promised = kilobytes(text, "Committed_AS:")
}

func kilobytes(text []byte, key string) (size uint64) { return numberBehind(text, key) << 10 }

// numberBehind returns the number behind the key, or 0.
func numberBehind(text []byte, key string) uint64 {
	at := bytes.Index(text, []byte(key))
	if at < 0 {
		return 0
	}
	return number(text[at+len(key):])
}

// number returns the number that text begins with, behind spaces, or 0.
func number(text []byte) (n uint64) {
	for _, digit := range bytes.TrimLeft(text, " \t") {
		if digit < '0' || digit > '9' {
			break
		}
		n = 10*n + uint64(digit-'0')
	}
	return n
}

// numberIn returns the number in a file, or 0.
func numberIn(path string) uint64 {
	var buffer [32]byte
	return number(readInto(path, buffer[:]))
}

// countMappings returns how many mappings the process has, or 0.
func countMappings() (count uint64) {
	var buffer [4096]byte
	file := openRaw("/proc/self/maps\x00")
	if file < 0 {
		return 0
	}
	for {
		n := readRaw(file, buffer[:])
		if n <= 0 {
			closeRaw(file)
			return count
		}
		count += uint64(bytes.Count(buffer[:n], []byte{'\n'}))
	}
}

// readInto returns the beginning of a file, as much as the buffer has room for, or nothing.
func readInto(path string, buffer []byte) []byte {
	file := openRaw(path)
	if file < 0 {
		return nil
	}
	defer closeRaw(file)
	size := 0
	for size < len(buffer) {
		n := readRaw(file, buffer[size:])
		if n <= 0 {
			break
		}
		size += n
	}
	return buffer[:size]
}

// Package os takes memory for a file, and lets the runtime start a thread while a call of
// the system lasts: where memory is short both end the process. Files of /proc take little
// time, so these calls are raw and read into buffers of the stack. A path ends in 0.

var openRaw = func(path string) (file int) {
	at := unix.AT_FDCWD
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(unsafe.StringData(path))), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

func readRaw(file int, buffer []byte) int {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(file), uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)))
		switch errno {
		case 0:
			return int(n)
		case unix.EINTR:
		default:
			return -1
		}
	}
}

func closeRaw(file int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(file), 0, 0) }
