package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// report is what vcpuinfo knows. The names in JSON are stable: none is renamed
// or removed, new ones may come.
type report struct {
	Mode        string `json:"mode"`         // "mm_cid", "cpu_id" or "assigned"
	Reason      string `json:"reason"`       // as vcpu.Features.Reason
	Owner       string `json:"owner"`        // "self", "libc" or "none"
	KernelSize  int    `json:"kernel_size"`  // bytes, AT_RSEQ_FEATURE_SIZE
	KernelAlign int    `json:"kernel_align"` // bytes, AT_RSEQ_ALIGN
	Registered  int    `json:"registered"`   // bytes
	Size        int    `json:"size"`         // bytes that the kernel fills in
	Fence       bool   `json:"fence"`        // membarrier for sequences works

	Current int `json:"current"` // arena at this moment
	Max     int `json:"max"`     // all arenas are below it
	Node    int `json:"node"`    // NUMA node at this moment, -1 unknown

	OS            string `json:"os"`
	Architecture  string `json:"architecture"`
	KernelRelease string `json:"kernel_release"`
	CPUModel      string `json:"cpu_model"`
	LogicalCores  int    `json:"logical_cores"`
	GoVersion     string `json:"go_version"`
	CgoEnabled    bool   `json:"cgo_enabled"`
}

func collect() report {
	f := vcpu.Probe()
	return report{
		Mode:        f.Mode.String(),
		Reason:      f.Reason,
		Owner:       f.Owner,
		KernelSize:  f.KernelSize,
		KernelAlign: f.KernelAlign,
		Registered:  f.Registered,
		Size:        f.Size,
		Fence:       f.Fence,

		Current: vcpu.Current(),
		Max:     vcpu.Max(),
		Node:    vcpu.Node(),

		OS:            runtime.GOOS,
		Architecture:  runtime.GOARCH,
		KernelRelease: kernelRelease(),
		CPUModel:      cpuModel(),
		LogicalCores:  logicalCores(),
		GoVersion:     runtime.Version(),
		CgoEnabled:    cgoEnabled(),
	}
}

const unknown = "unknown"

func kernelRelease() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(text))
}

func cpuModel() string {
	if cpuid.CPU.BrandName == "" {
		return unknown
	}
	return strings.TrimSpace(cpuid.CPU.BrandName)
}

// logicalCores falls back on the runtime's count where the processor does not
// tell, as in some virtual machines and on arm64.
func logicalCores() int {
	if cpuid.CPU.LogicalCores > 0 {
		return cpuid.CPU.LogicalCores
	}
	return runtime.NumCPU()
}

func cgoEnabled() bool {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, setting := range build.Settings {
		if setting.Key == "CGO_ENABLED" {
			return setting.Value == "1"
		}
	}
	return false
}
