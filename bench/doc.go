// Bench compares this allocator with other ways to allocate in Go and in
// C.
//
//	bench features             what the machine offers, in words
//	bench list                 the shapes of work and the peers there are
//	bench run                  measure, write a file of results, report it
//	bench report file…         tables, pictures and pages of files of results
//	bench compare old new      what changed from one file to another
//
// A measurement is one shape done by one peer in a process of its own: run
// starts this program again for each, with the command child, or for a native
// peer the program of package native; both answer in JSON. Peers take turns within a round, beginning with another one in each,
// so that what disturbs the machine for a while disturbs them all; a figure is
// the median of the rounds.
//
// The floors, each of which knows only those below it:
//
//	bench              commands: command line, processes, progress, tables
//	internal/page      HTML
//	internal/picture   SVG and PNG
//	native             the C program and the libraries for it
//	internal/workload  heaps, peers, loops, shapes; what a child process does
//	internal/result    samples, machine, summaries; the file that is written
//
// internal/specialise writes the workload's loops out for each heap.
package main
