package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// options are the command line.
type options struct {
	address     string
	port        int
	limitBytes  int64 // 0 = none
	samples     int
	limitOnLine string // -maxmemory as it was written
}

const maxSamples = 64

func parseOptions(arguments []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("respcache", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.address, "addr", "127.0.0.1", "`address` to listen on; there is no authentication")
	flags.IntVar(&o.port, "port", 6379, "TCP `port` to listen on, 0 for any that is free")
	flags.StringVar(&o.limitOnLine, "maxmemory", "0", "memory limit as `size`, such as 64mb or 1gb; 0 for none")
	flags.IntVar(&o.samples, "maxmemory-samples", table.DefaultSamples, "`keys` that an eviction compares, 1 to 64")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("respcache takes flags only, not %q; see respcache -help", flags.Arg(0))
	}
	var err error
	if o.limitBytes, err = parseSize(o.limitOnLine); err != nil {
		return o, fmt.Errorf("-maxmemory: %w", err)
	}
	if o.samples < 1 || o.samples > maxSamples {
		return o, fmt.Errorf("-maxmemory-samples: %d is not between 1 and %d", o.samples, maxSamples)
	}
	if o.port < 0 || o.port > 65535 {
		return o, fmt.Errorf("-port: %d is not between 0 and 65535", o.port)
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err {
	case nil:
	case flag.ErrHelp:
	default:
		fmt.Fprintln(os.Stderr, "respcache:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. The first line that it prints tells the address.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(arguments, stderr)
	if err != nil {
		return err
	}
	s, err := newServer(o)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.address, strconv.Itoa(o.port)))
	if err != nil {
		s.close()
		return fmt.Errorf("%w; another -addr or -port may help, -port 0 takes any free port", err)
	}
	fmt.Fprintf(stdout, "respcache: listening on %s\n", listener.Addr())
	fmt.Fprintf(stdout, "respcache: %s\n", describeMode(vcpu.Probe()))
	fmt.Fprintf(stdout, "respcache: memory limit %s, %d shards\n", describeLimit(o.limitBytes), s.table.Stats().Shards)
	total := "that of the cgroup or GOMEMLIMIT, for Go's memory and the cache"
	if stopBalance, err := alloc.BalanceMemoryLimit(0); err == nil {
		defer stopBalance()
	} else {
		total = fmt.Sprintf("none (%v)", err)
	}
	fmt.Fprintf(stdout, "respcache: total limit %s\n", total)
	err = s.serve(ctx, listener)
	if err == nil {
		fmt.Fprintln(stdout, "respcache: stopped")
	}
	return err
}

func describeMode(f vcpu.Features) string {
	text := fmt.Sprintf("allocator mode %s", f.Mode)
	if f.Reason != "" {
		text += " (" + f.Reason + ")"
	}
	return text
}

func describeLimit(bytes int64) string {
	if bytes == 0 {
		return "none"
	}
	return humanize.IBytes(uint64(bytes))
}
