package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/vcpualloc/vcpualloc/bench/internal/workload"
)

type listCommand struct{}

// Run prints the tables of shapes and peers.
func (listCommand) Run(ctx context.Context, to streams) error {
	peers, unavailable, err := contenders(ctx, nil)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	entry := func(name, about string, byDefault bool) {
		mark := " "
		if byDefault {
			mark = "*"
		}
		fmt.Fprintf(table, "  %s %s\t%s\n", mark, name, about)
	}
	fmt.Fprintln(table, "Shapes (* are run when none is named):")
	for _, shape := range workload.Shapes() {
		about := shape.About
		if shape.GoOnly {
			about += " (peers in Go only)"
		}
		entry(shape.Name, about, shape.Default)
	}
	fmt.Fprintln(table, "\nPeers:")
	for _, peer := range peers {
		entry(peer.Name, peer.About, peer.isDefault)
	}
	if unavailable != nil {
		fmt.Fprintf(table, "\nNo native peers: %v\n", unavailable)
	}
	return table.Flush()
}
