// Command probe prints the features of this machine and build as JSON, plays
// with blocks for a moment, and fails if one ever had two owners.
package main

import (
	"os"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
)

func main() { os.Exit(report.Main()) }
