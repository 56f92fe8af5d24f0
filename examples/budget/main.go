// Command budget is a server of four tenants that share one limit, of which one
// misbehaves: it never frees. It shows who is refused, and that the others go on.
//
//	steady  frees what it takes, and waits for room (AllocWait) if there is none
//	queue   four workers of whose blocks two fit, so they take turns (AllocWait)
//	cache   keeps all it can get, and gives way to the others (Options.Reclaim)
//	greedy  never frees, and goes on asking
//
// Run it as
//
//	budget                  two seconds, 32 MiB for all
//	budget -limit 64mib     another limit
//	budget -total 128mib    Go's own memory and the tenants' in one total
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/alloc"
)

type options struct {
	limit    int64 // bytes, of all tenants together
	total    int64 // bytes, of Go's memory too; 0 = not bounded
	duration time.Duration
}

// minLimit leaves each tenant a few blocks.
const minLimit = 16 << 20

func parseOptions(arguments []string, output io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("budget", flag.ContinueOnError)
	flags.SetOutput(output)
	limit := flags.String("limit", "32mib", "`size` that the tenants may have together, at least 16mib")
	total := flags.String("total", "0", "`size` that Go's memory and that of the tenants may have together, 0 for no bound")
	flags.DurationVar(&o.duration, "time", 2*time.Second, "how `long` to run")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("budget takes flags only, not %q", flags.Arg(0))
	}
	if o.limit, err = parseSize(*limit); err != nil || o.limit < minLimit {
		return o, errors.Join(fmt.Errorf("-limit: %q is not a size of at least %s", *limit, humanize.IBytes(minLimit)), err)
	}
	if o.total, err = parseSize(*total); err != nil {
		return o, fmt.Errorf("-total: %q is not a size: %w", *total, err)
	}
	return o, nil
}

func parseSize(text string) (int64, error) {
	bytes, err := humanize.ParseBytes(text)
	if err == nil && bytes > 1<<40 {
		err = errors.New("more than 1 TiB")
	}
	return int64(bytes), err
}

func main() {
	switch err := run(context.Background(), os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "budget:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, stdout io.Writer) error {
	o, err := parseOptions(arguments, stdout)
	if err != nil {
		return err
	}
	if o.total > 0 {
		stop, err := alloc.BalanceMemoryLimit(o.total)
		if err != nil {
			return err
		}
		defer stop()
	}
	s, err := newServer(o.limit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	s.work(ctx)
	_, err = io.WriteString(stdout, s.report())
	return errors.Join(err, s.close())
}

// report tells how the tenants fared, and where the memory is.
func (s *server) report() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "tenant\tserved\trefused\tgave up\tlongest wait\t")
	for _, t := range s.tenants() {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%v\t\n", t.name, t.served.Load(), t.refused.Load(), t.evicted.Load(),
			time.Duration(t.longest.Load()).Round(10*time.Microsecond))
	}
	table.Flush()
	for _, t := range s.tenants() {
		if err := t.lastError(); err != nil {
			fmt.Fprintf(&text, "%s was refused: %v\n", t.name, err)
		}
	}
	text.WriteString("\nbudgets:\n")
	for b := range s.memory.Budgets() {
		limit := "no limit of its own"
		if b.Limit > 0 {
			limit = "of " + humanize.IBytes(uint64(b.Limit))
		}
		fmt.Fprintf(&text, "%s%s: %s %s\n", strings.Repeat("  ", b.Depth+1), b.Name, humanize.IBytes(uint64(b.Charged)), limit)
	}
	fmt.Fprintf(&text, "\n%v", s.cache.memory.Stats())
	return text.String()
}
