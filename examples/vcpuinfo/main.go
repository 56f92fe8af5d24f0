// Command vcpuinfo tells which vCPU mode this machine and this build get, and
// why not a higher one. It exits 0 whatever the mode is: the assigned mode is a
// slower one, not a failure.
//
//	vcpuinfo         for a person
//	vcpuinfo -json   for a program
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	flags := flag.NewFlagSet("vcpuinfo", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print one JSON object")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	case flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "vcpuinfo takes -json only, not %q\n", flags.Arg(0))
		os.Exit(2)
	}
	print := printWords
	if *asJSON {
		print = printJSON
	}
	if err := print(os.Stdout, collect()); err != nil {
		fmt.Fprintln(os.Stderr, "vcpuinfo: print the report:", err)
		os.Exit(1)
	}
}

func printJSON(w io.Writer, r report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func printWords(w io.Writer, r report) error {
	var text strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&text, "%-14s %s\n", name, fmt.Sprintf(format, values...))
	}
	line("mode", "%s: %s", r.Mode, modeMeanings[r.Mode])
	if r.Reason != "" {
		line("why", "%s", r.Reason)
	}
	line("rseq owner", "%s: %s", r.Owner, ownerMeanings[r.Owner])
	line("rseq area", "%s", areaInWords(r))
	line("fence", "%s", fenceInWords(r.Fence))
	line("now", "arena %d of at most %d, NUMA node %s", r.Current, r.Max, nodeInWords(r.Node))
	line("kernel", "%s %s", r.OS, r.KernelRelease)
	line("cpu", "%s, %d logical cores, %s", r.CPUModel, r.LogicalCores, r.Architecture)
	line("build", "%s, built with CGO_ENABLED=%s", r.GoVersion, map[bool]string{true: "1", false: "0"}[r.CgoEnabled])
	_, err := io.WriteString(w, text.String())
	return err
}

var modeMeanings = map[string]string{
	"mm_cid":   "arenas by the kernel's concurrency id, in restartable sequences",
	"cpu_id":   "arenas by the CPU's number, in restartable sequences",
	"assigned": "arenas assigned by the program, under locks",
}

var ownerMeanings = map[string]string{
	"self": "this program registers its threads with the kernel",
	"libc": "the C library has registered the threads, and its areas are used",
	"none": "no thread is registered",
}

func areaInWords(r report) string {
	if r.KernelSize == 0 && r.Registered == 0 {
		return "none; the kernel tells no size"
	}
	return fmt.Sprintf("%d bytes filled in by the kernel (it offers %d, aligned to %d; %d are registered)",
		r.Size, r.KernelSize, r.KernelAlign, r.Registered)
}

func fenceInWords(works bool) string {
	if works {
		return "membarrier stops the sequences of all CPUs"
	}
	return "no membarrier for sequences; an arena is maintained by its owner only"
}

func nodeInWords(node int) string {
	if node < 0 {
		return "unknown"
	}
	return fmt.Sprint(node)
}
