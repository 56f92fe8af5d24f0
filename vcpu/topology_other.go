//go:build !linux

package vcpu

import "runtime"

func possibleCPUs() int { return runtime.NumCPU() }

func systemNode() int { return -1 }

func systemPlace() (cpu, node int) { return -1, -1 }
