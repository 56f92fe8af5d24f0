//go:build amd64 || arm64

package modes

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// want is what must come out of a row.
type want struct {
	owner  string
	mode   vcpu.Mode
	reason string // part of it; empty for none
	fence  bool
}

const endOfMMCID = 28 // offsetofend(struct rseq, mm_cid)

// self is what this machine gives a program that registers its threads itself.
func self(*testing.T) want {
	const atRseqFeatureSize = 27
	// Flags that do not exist are refused by a kernel that has rseq.
	_, _, errno := unix.RawSyscall6(unix.SYS_RSEQ, 0, 0, ^uintptr(0), 0, 0, 0)
	if errno == unix.ENOSYS || errno == unix.EPERM {
		return none(unix.ErrnoName(errno))
	}
	w := want{owner: "self", mode: vcpu.CPUID, reason: "mm_cid ends at 28", fence: hasFence()}
	vector, err := unix.Auxv()
	if err != nil {
		return w
	}
	for _, entry := range vector {
		if entry[0] == atRseqFeatureSize && entry[1] >= endOfMMCID {
			w.mode, w.reason = vcpu.MMCID, ""
		}
	}
	return w
}

// hasFence asks the kernel for membarrier(PRIVATE_EXPEDITED_RSEQ).
func hasFence() bool {
	const query, privateExpeditedRseq = 0, 1 << 7
	commands, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, query, 0, 0)
	return errno == 0 && commands&privateExpeditedRseq != 0
}

// none is the assigned tier without an owner.
func none(reason string) want { return want{owner: "none", mode: vcpu.Assigned, reason: reason} }

// unusable is the assigned tier on threads that are registered all the same.
func (w want) unusable(reason string) want {
	if w.owner != "none" {
		w.mode, w.reason = vcpu.Assigned, reason
	}
	return w
}

// capped is w under VCPUALLOC_MODE. The lowest mode leaves rseq alone.
func (w want) capped(mode vcpu.Mode) want {
	if mode == vcpu.Assigned {
		return none("VCPUALLOC_MODE=assigned")
	}
	if w.mode > mode {
		w.mode, w.reason = mode, "VCPUALLOC_MODE="+mode.String()
	}
	return w
}

// libc is what this machine gives a program that is linked to its C library.
func libc(t *testing.T) want {
	w := self(t)
	if w.owner == "none" {
		return none("glibc did not register rseq")
	}
	if !libcRegisters(t) {
		return none("its C library registers no rseq")
	}
	w.owner = "libc"
	return w
}

// libcRegisters reports whether the dynamic loader has the symbol by which
// glibc since 2.35 tells where its areas are.
func libcRegisters(t *testing.T) bool {
	t.Helper()
	program := build(t, programs["cgo"])
	file, err := elf.Open(loaderOf(t, program))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, symbol := range symbols {
		if symbol.Name == "__rseq_offset" && symbol.Section != elf.SHN_UNDEF {
			return true
		}
	}
	return false
}

// loaderOf returns the dynamic loader that a program asks for.
func loaderOf(t *testing.T, program string) string {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	section := file.Section(".interp")
	if section == nil {
		t.Fatalf("%s asks for no dynamic loader", program)
	}
	path, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(path), "\x00")
}

// needCompiler skips the test where no C program can be built; "make test" installs
// a compiler.
func needCompiler(t *testing.T) {
	t.Helper()
	compiler, err := compilerName()
	if err == nil {
		_, err = exec.LookPath(compiler)
	}
	if err != nil {
		t.Skipf("the C compiler is missing (%v): install the packages gcc and libc6-dev, or those that your system calls gcc and glibc-devel", err)
	}
}

func compilerName() (string, error) {
	out, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		return "", fmt.Errorf("go env CC: %w", err)
	}
	compiler, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return compiler, nil
}

// compilerFile returns where the C compiler has one of its files, or "".
func compilerFile(t *testing.T, name string) string {
	t.Helper()
	needCompiler(t)
	compiler, _ := compilerName()
	out, err := exec.Command(compiler, "-print-file-name="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	if path := strings.TrimSpace(string(out)); filepath.IsAbs(path) {
		return path
	}
	return ""
}

// needASan ends the test where the C compiler has no address sanitizer.
func needASan(t *testing.T) {
	t.Helper()
	// clang has it in a folder of its own, and always.
	if compiler, _ := compilerName(); strings.Contains(compiler, "gcc") && compilerFile(t, "libasan.so") == "" {
		t.Skip("there is no libasan.so: the compiler's sanitizers, a package such as libasan8, are not installed")
	}
}

// needMusl ends the test where the second C library is not installed; "make
// deps" does so on Debian.
func needMusl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("musl-gcc"); err != nil {
		t.Skip("there is no musl-gcc: the package musl-tools, or musl-gcc, is not installed")
	}
}

// needStaticLibc ends the test where glibc cannot be linked statically, which
// some systems put into a package of its own.
func needStaticLibc(t *testing.T) {
	t.Helper()
	if compilerFile(t, "libc.a") == "" {
		t.Skip("there is no libc.a: glibc-static, or however it is called here, is not installed")
	}
}

// needLoader ends the test on systems where position-independent programs of Go
// cannot run: their loader is glibc's.
func needLoader(t *testing.T) {
	t.Helper()
	if loader := loaderOf(t, build(t, programs["pie"])); !exists(loader) {
		t.Skipf("%s is missing: this system has another C library", loader)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// oldestCPU returns the setting for the oldest instruction set.
func oldestCPU() string {
	if runtime.GOARCH == "arm64" {
		return "GOARM64=v8.0"
	}
	return "GOAMD64=v1"
}

// newerCPU returns the setting for the newest instruction set that this
// machine's CPU has of those that the toolchain knows.
func newerCPU() string {
	switch {
	case runtime.GOARCH == "amd64" && cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasFMA:
		return "GOAMD64=v3"
	case runtime.GOARCH == "amd64" && cpu.X86.HasSSE42 && cpu.X86.HasPOPCNT:
		return "GOAMD64=v2"
	case runtime.GOARCH == "arm64" && cpu.ARM64.HasATOMICS:
		return "GOARM64=v8.1"
	}
	return oldestCPU()
}
