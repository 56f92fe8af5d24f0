// Package report is what the programs of package modes do.
package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Report is what a program prints.
type Report struct {
	Features   vcpu.Features
	Go         string // version of the toolchain
	Max        int
	GOMAXPROCS int
	Tokens     Game // handed round through rseqcs.Stack
	Blocks     Game // of alloc, handed round and freed by others
	Stats      rseqcs.Stats
}

// Game is what became of one game.
type Game struct {
	Rounds     int64
	Violations []string // empty, or the rules of memory are broken
}

// Main plays both games, prints the report and returns the exit status: 1 for a
// violation, 2 where something could not be done.
func Main() int {
	duration := flag.Duration("duration", 200*time.Millisecond, "how long each game takes")
	flag.Parse()
	r := Report{
		Features:   vcpu.Probe(),
		Go:         runtime.Version(),
		Max:        vcpu.Max(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
	}
	var err error
	if r.Tokens, err = playTokens(*duration); err == nil {
		r.Blocks, err = playBlocks(*duration)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	r.Stats = rseqcs.ReadStats()
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if len(r.Tokens.Violations)+len(r.Blocks.Violations) > 0 {
		return 1
	}
	return 0
}
