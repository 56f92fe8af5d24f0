package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/alecthomas/kong"
)

type commandLine struct {
	Features featuresCommand `cmd:"" help:"Say what this machine offers, and what was made of it."`
	List     listCommand     `cmd:"" help:"List the shapes of work and the peers."`
	Run      runCommand      `cmd:"" help:"Measure, write the results, and report them."`
	Report   reportCommand   `cmd:"" help:"Print and draw files of results."`
	Compare  compareCommand  `cmd:"" help:"Compare two files of results, cell by cell."`
	Child    childCommand    `cmd:"" hidden:"" help:"Make one measurement, and answer in JSON."`
}

// streams are where commands write: what was asked for, and what happens
// meanwhile.
type streams struct{ out, progress io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	parser := kong.Must(&commandLine{},
		kong.Name("bench"),
		kong.Description("Compares this allocator with other ways to allocate, in Go and in C."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{out: os.Stdout, progress: os.Stderr}),
	)
	chosen, err := parser.Parse(longFlags(os.Args[1:]))
	parser.FatalIfErrorf(err)
	chosen.FatalIfErrorf(chosen.Run())
}

// longFlags gives the second dash to flags that are written with one, as Go
// programs take them. There are no flags of one letter but -h.
func longFlags(arguments []string) []string {
	long := make([]string, len(arguments))
	for i, argument := range arguments {
		if argument == "--" {
			copy(long[i:], arguments[i:])
			break
		}
		if len(argument) > 2 && argument[0] == '-' && argument[1] != '-' && strings.Trim(argument[1:2], "0123456789.") != "" {
			argument = "-" + argument
		}
		long[i] = argument
	}
	return long
}
