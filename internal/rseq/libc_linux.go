//go:build amd64 || arm64

package rseq

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// findLibc looks for the areas that glibc 2.35 and later registers. No C code
// takes part: the symbols are read from the loaded ELF files, and the kernel
// confirms them.
func findLibc(g *Ground) {
	const silent = "this program uses cgo, and its C library registers no rseq that can be found (glibc has since 2.35, musl has not, and a static program that is stripped does not say)"
	offset, size, found, err := libcSymbols()
	switch {
	case err != nil:
		g.Reason = fmt.Sprintf("this program uses cgo, and the C library's rseq cannot be found: %v", err)
		return
	case !found:
		g.Reason = silent
		return
	case size == 0:
		g.Reason = "this program uses cgo, and glibc did not register rseq (glibc.pthread.rseq=0 in GLIBC_TUNABLES, or a kernel or seccomp filter that refuses it)"
		return
	}
	lengths := onTwoThreads(func() int { return registeredLength(threadPointer()+offset, g.KernelSize) })
	if lengths[0] == 0 || lengths[0] != lengths[1] {
		g.Reason = fmt.Sprintf("the kernel does not confirm glibc's rseq area at offset %d (lengths %v)", int(offset), lengths)
		return
	}
	g.Owner, g.LibcOffset, g.Registered = Libc, offset, lengths[0]
}

// registeredLength returns the length with which area is registered for the
// running thread, or 0. The kernel answers EBUSY to the very same area, length
// and signature, and to nothing else. __rseq_size cannot serve: glibc 2.36 of
// Debian says 20 and registers 32.
func registeredLength(area uintptr, kernelSize int) int {
	for _, length := range []int{MinLength, kernelSize} {
		if length >= MinLength && rawRseq(area, uintptr(length)) == uintptr(syscall.EBUSY) {
			return length
		}
	}
	return 0
}

// libcSymbols returns the values of __rseq_offset and __rseq_size in the
// loaded C library, which is ld.so, libc or the program itself.
func libcSymbols() (offset uintptr, size uint32, found bool, err error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, 0, false, err
	}
	defer maps.Close()
	program, _ := os.Readlink("/proc/self/exe")
	starts := make(map[string]uintptr)
	var files []string // libraries in front of the program, whose table can be large
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		start, path, ok := parseMapping(lines.Text())
		if _, known := starts[path]; !ok || known || !mayHoldLibc(path, program) {
			continue
		}
		starts[path] = start // the first mapping of a file is its lowest
		if path == program {
			files = append(files, path)
		} else {
			files = append([]string{path}, files...)
		}
	}
	for _, path := range files {
		if offsetAt, sizeAt := rseqSymbols(path, starts[path]); offsetAt != 0 && sizeAt != 0 {
			return *(*uintptr)(address(offsetAt)), *(*uint32)(address(sizeAt)), true, nil
		}
	}
	return 0, 0, false, nil
}

// parseMapping returns the first address and the file of a line of maps. The
// file is the rest of the line, blanks and all.
func parseMapping(line string) (start uintptr, path string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") {
		return 0, "", false
	}
	first, _, _ := strings.Cut(fields[0], "-")
	address, err := strconv.ParseUint(first, 16, 64)
	return uintptr(address), line[strings.IndexByte(line, '/'):], err == nil
}

func mayHoldLibc(path, program string) bool {
	name := filepath.Base(path)
	return path == program || strings.HasPrefix(name, "ld-") || strings.HasPrefix(name, "ld.") || strings.HasPrefix(name, "libc")
}

// rseqSymbols returns the addresses of the two symbols in the file that is
// mapped from start on, or zeros.
func rseqSymbols(path string, start uintptr) (offsetAt, sizeAt uintptr) {
	file, err := elf.Open(path)
	if err != nil {
		return 0, 0
	}
	defer file.Close()
	var bias uintptr
	for _, program := range file.Progs {
		if program.Type == elf.PT_LOAD {
			bias = start - uintptr(program.Vaddr&^(program.Align-1))
			break
		}
	}
	dynamic, _ := file.DynamicSymbols()
	static, _ := file.Symbols()
	for _, symbol := range append(dynamic, static...) {
		if symbol.Section == elf.SHN_UNDEF {
			continue
		}
		switch symbol.Name {
		case "__rseq_offset":
			offsetAt = bias + uintptr(symbol.Value)
		case "__rseq_size":
			sizeAt = bias + uintptr(symbol.Value)
		}
	}
	return offsetAt, sizeAt
}

// address makes a pointer of an address outside of the Go heap, in the one way
// that vet accepts: the memory is not the collector's, so no rule is broken.
func address(a uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&a))
}
