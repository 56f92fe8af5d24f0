//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// printMode prints the line from which the runner learns the mode.
func printMode() {
	features := vcpu.Probe()
	text, err := json.Marshal(plan.Mode{
		Mode: features.Mode.String(), Reason: features.Reason, Owner: features.Owner,
		KernelSize: features.KernelSize, KernelAlign: features.KernelAlign,
		Registered: features.Registered, Fence: features.Fence,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
	fmt.Println(plan.ModePrefix + string(text))
}
