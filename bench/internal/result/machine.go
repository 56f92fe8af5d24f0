package result

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/cpuid/v2"
)

// Machine is what the figures depend on besides the program. What cannot be
// read is empty.
type Machine struct {
	OS           string    `json:"os"`
	Architecture string    `json:"architecture"`
	Kernel       string    `json:"kernel"`
	CPU          string    `json:"cpu"`
	Virtual      bool      `json:"virtual"` // runs under a hypervisor
	CPUs         int       `json:"cpus"`    // usable by this process
	Cores        int       `json:"cores"`   // physical, as the CPU tells
	MemoryBytes  int64     `json:"memory_bytes"`
	Go           string    `json:"go"`
	GOMAXPROCS   int       `json:"gomaxprocs"`
	Environment  []string  `json:"environment,omitempty"` // settings that children inherit
	Governor     string    `json:"governor,omitempty"`
	HugePages    string    `json:"transparent_huge_pages,omitempty"`
	Load         []float64 `json:"load,omitempty"` // of 1, 5 and 15 minutes, at the start
}

// inherited are the variables that change what is measured.
var inherited = []string{"GOGC", "GOMEMLIMIT", "GODEBUG", "GOMAXPROCS", "VCPUALLOC_MODE", "GLIBC_TUNABLES"}

// ThisMachine reads the facts of the machine.
func ThisMachine() Machine {
	m := Machine{
		OS:           runtime.GOOS,
		Architecture: runtime.GOARCH,
		Kernel:       firstLine("/proc/sys/kernel/osrelease"),
		CPU:          strings.TrimSpace(cpuid.CPU.BrandName),
		Virtual:      cpuid.CPU.VM(),
		CPUs:         runtime.NumCPU(),
		Cores:        cpuid.CPU.PhysicalCores,
		Go:           runtime.Version(),
		GOMAXPROCS:   runtime.GOMAXPROCS(0),
		Governor:     firstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		HugePages:    chosen(firstLine("/sys/kernel/mm/transparent_hugepage/enabled")),
		MemoryBytes:  memoryBytes(),
	}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			m.Environment = append(m.Environment, name+"="+value)
		}
	}
	for _, field := range strings.Fields(firstLine("/proc/loadavg")) {
		if value, err := strconv.ParseFloat(field, 64); err == nil && len(m.Load) < 3 {
			m.Load = append(m.Load, value)
		}
	}
	return m
}

func firstLine(path string) string {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// chosen returns the word in brackets, the kernel's way to mark the one in use.
func chosen(words string) string {
	_, rest, _ := strings.Cut(words, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}

func memoryBytes() int64 {
	fields := strings.Fields(firstLine("/proc/meminfo"))
	if len(fields) < 2 || fields[0] != "MemTotal:" {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[1], 10, 64)
	return kib << 10
}

// quietLoad is the load of the last minute, per CPU, above which a machine does
// not count as quiet.
const quietLoad = 0.3

// Disquiet says why the machine is not quiet enough to measure, or nothing.
func (m Machine) Disquiet() string {
	if len(m.Load) == 0 || m.Load[0] <= quietLoad*float64(m.CPUs) {
		return ""
	}
	return fmt.Sprintf("the machine is not quiet: load %.2f on %d CPUs at the start; figures will be too high and uneven",
		m.Load[0], m.CPUs)
}

// String is the machine in one line.
func (m Machine) String() string {
	name := m.CPU
	if name == "" {
		name = m.Architecture
	}
	kind := ""
	if m.Virtual {
		kind = ", virtual machine"
	}
	line := fmt.Sprintf("%s, %d CPUs%s, %s %s, %s", name, m.CPUs, kind, m.OS, m.Kernel, m.Go)
	return strings.Join(strings.Fields(line), " ")
}

// Conditions are the settings and the state of the machine in one line.
func (m Machine) Conditions() string {
	facts := []string{fmt.Sprintf("GOMAXPROCS %d", m.GOMAXPROCS)}
	if m.MemoryBytes > 0 {
		facts = append(facts, humanize.IBytes(uint64(m.MemoryBytes))+" of memory")
	}
	governor := "not known"
	if m.Governor != "" {
		governor = m.Governor
	}
	facts = append(facts, "governor "+governor)
	if m.HugePages != "" {
		facts = append(facts, "huge pages "+m.HugePages)
	}
	if len(m.Load) == 3 {
		facts = append(facts, fmt.Sprintf("load %.2f %.2f %.2f", m.Load[0], m.Load[1], m.Load[2]))
	}
	return strings.Join(append(facts, m.Environment...), ", ")
}
