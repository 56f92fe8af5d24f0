//go:build amd64 || arm64

// Command probe prints the features of this machine and build as JSON, plays
// with blocks for a moment, and fails if one ever had two owners.
package main

import (
	"flag"
	"os"
	"runtime"

	"github.com/vcpualloc/vcpualloc/internal/modes/report"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

func main() {
	spoil := flag.Bool("spoil", false, "use the word of this thread that is to hold its rseq area")
	flag.Parse()
	if *spoil {
		runtime.LockOSThread()
		spoilThreadWord()
		vcpu.Probe()
		runtime.UnlockOSThread()
	}
	os.Exit(report.Main(nil))
}

// spoilThreadWord writes 0x5011 to the word, as somebody else might.
func spoilThreadWord()
