// Package report is what the programs of package modes do.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/regcall"
	"github.com/vcpualloc/vcpualloc/rseqcs"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Report is what a program prints.
type Report struct {
	Features      vcpu.Features
	Go            string // version of the toolchain
	Max           int
	GOMAXPROCS    int
	RegisterCalls bool  // sections can be called with their arguments in registers
	PlaceFound    bool  // assembly can find its P
	LentTurns     int64 // turns that somebody else's threads took
	Tokens        Game  // handed round through rseqcs.Stack
	Blocks        Game  // of alloc, handed round and freed by others
	Stats         rseqcs.Stats
}

// Game is what became of one game.
type Game struct {
	Rounds     int64
	Violations []string // empty, or the rules of memory are broken
}

// duration is how long each game takes.
const duration = 200 * time.Millisecond

// Main plays both games, prints the report and returns the exit status: 1 for a
// violation, 2 where something could not be done. If lent is not nil, whoever
// receives from it calls what it gets, on threads of its own, and half of the
// turns are taken there.
func Main(lent chan<- func()) int {
	r := Report{
		Features:      vcpu.Probe(),
		Go:            runtime.Version(),
		Max:           vcpu.Max(),
		GOMAXPROCS:    runtime.GOMAXPROCS(0),
		RegisterCalls: regcall.Works(),
	}
	_, r.PlaceFound = procpin.FindPlace()
	var err error
	table := &table{duration: duration, lent: lent}
	if r.Tokens, err = playTokens(table); err == nil {
		r.Blocks, err = playBlocks(table)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	r.LentTurns, r.Stats = table.lentTurns.Load(), rseqcs.ReadStats()
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
