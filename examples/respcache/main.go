package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"
	"github.com/vcpualloc/vcpualloc/examples/respcache/table"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// options are the command line.
type options struct {
	address      string
	port         int
	limitBytes   int64 // 0 = none
	samples      int
	maxClients   int
	clientLimit  int64 // bytes
	clientsLimit int64 // bytes, 0 = none
	timeout      time.Duration
	limits       resp.Limits
}

const (
	maxSamples        = 64
	defaultMaxClients = 10_000
	maxMaxClients     = 1 << 20
	minClientLimit    = 64 << 10 // bytes, that of all clients, too: less serves no request
	minLimit          = 1 << 20  // bytes; what the allocator takes at once comes to a part of that
	minTimeout        = time.Second
)

func parseOptions(arguments []string, output io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("respcache", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.address, "addr", "127.0.0.1", "`address` to listen on, 0.0.0.0 or :: for all; there is no authentication")
	flags.IntVar(&o.port, "port", 6379, "TCP `port` to listen on, 0 for any that is free")
	limit := flags.String("maxmemory", "0",
		"memory limit as `size`, such as 64mb or 1gb, of keys, values, index and clients' buffers, at least 1mb; 0 for none: "+
			"then -maxmemory-clients as a percentage has no meaning, and clients are not bounded together")
	flags.IntVar(&o.samples, "maxmemory-samples", table.DefaultSamples, "`keys` that an eviction compares, 1 to 64")
	flags.IntVar(&o.maxClients, "maxclients", defaultMaxClients, "`clients` at a time; others are refused")
	clients := flags.String("maxmemory-clients", "50%",
		"limit of all clients' requests and unread replies as `size`, at least 64kb, or as a percentage of -maxmemory; "+
			"beyond it the client that holds most is closed; 0 or 0% for none but -maxmemory")
	client := flags.String("client-limit", "1gb",
		"limit of one client's request and unread replies as `size`, at least 64kb; a client that needs more is closed")
	timeout := flags.String("timeout", "300",
		"`seconds`, or a duration such as 1m30s, after which an idle client is closed, at least 1 s; 0 for never. "+
			"A request must arrive, and 16 KiB of replies be read, in that time or in 60 s, whichever is shorter")
	bulk := flags.String("proto-max-bulk-len", "512mb", "longest argument and value as `size`, at most 512mb")
	flags.IntVar(&o.limits.Elements, "proto-max-multibulk-len", resp.MaxElements, "most `arguments` of a request, at most 1048576")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("respcache takes flags only, not %q; see respcache -help", flags.Arg(0))
	}
	if o.address == "" {
		return o, errors.New("-addr is empty; write 127.0.0.1 for this machine only, or 0.0.0.0 or :: for all its interfaces: " +
			"there is no authentication, so every host that reaches them can read and write the cache")
	}
	if o.limitBytes, err = parseSize(*limit); err != nil {
		return o, fmt.Errorf("-maxmemory: %w", err)
	}
	if o.clientLimit, err = parseSize(*client); err != nil {
		return o, fmt.Errorf("-client-limit: %w", err)
	}
	if o.clientsLimit, err = parseShare(*clients, o.limitBytes); err != nil {
		return o, fmt.Errorf("-maxmemory-clients: %w", err)
	}
	if o.timeout, err = parseTimeout(*timeout); err != nil {
		return o, fmt.Errorf("-timeout: %w", err)
	}
	bulkBytes, err := parseSize(*bulk)
	if err != nil {
		return o, fmt.Errorf("-proto-max-bulk-len: %w", err)
	}
	for _, least := range []struct {
		name  string
		value string
		given int64
		least int64
		text  string
	}{
		{"-maxmemory", *limit, o.limitBytes, minLimit, "1mb"},
		{"-maxmemory-clients", *clients, o.clientsLimit, minClientLimit, "64kb"},
		{"-timeout", *timeout, int64(o.timeout), int64(minTimeout), "1 s"},
	} {
		if least.given != 0 && least.given < least.least {
			return o, fmt.Errorf("%s: %s is too little, the least is %s; 0 is for no bound", least.name, least.value, least.text)
		}
	}
	for _, bound := range []struct {
		name            string
		value, min, max int64
	}{
		{"-port", int64(o.port), 0, 65535},
		{"-maxmemory-samples", int64(o.samples), 1, maxSamples},
		{"-maxclients", int64(o.maxClients), 1, maxMaxClients},
		{"-client-limit", o.clientLimit, minClientLimit, math.MaxInt64},
		{"-proto-max-bulk-len", bulkBytes, 1, resp.MaxBulkBytes},
		{"-proto-max-multibulk-len", int64(o.limits.Elements), 1, resp.MaxElements},
	} {
		if bound.value < bound.min || bound.value > bound.max {
			return o, fmt.Errorf("%s: %d is not between %d and %d", bound.name, bound.value, bound.min, bound.max)
		}
	}
	o.limits.BulkBytes = int(bulkBytes)
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a reader of stdout or stderr that is gone does not end the server
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
