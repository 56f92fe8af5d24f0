package main

import (
	_ "embed"
	"fmt"
	"path"
	"strconv"
	"strings"
)

//go:embed rows.txt
var rowsText string

// Row is one machine and what is expected of it; rows.txt explains the fields.
type Row struct {
	Name, Arch, Kernel, Suite, Package string
	PageSize, CPUs, Nodes              int
	Instructions                       bool // clock
	Mode, Reason, CommandLine          string
	Unsound                            string // the known fault by which the kernel spoils its own memory
}

const columns = 13

// parseRows reads the form of rows.txt.
func parseRows(text string) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	for index, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row, err := parseRow(line)
		if err == nil && seen[row.Name] {
			err = fmt.Errorf("name %q was there before", row.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("rows, line %d: %w", index+1, err)
		}
		seen[row.Name] = true
		rows = append(rows, row)
	}
	return rows, nil
}

func parseRow(line string) (Row, error) {
	cells := strings.Split(line, "|")
	if len(cells) != columns {
		return Row{}, fmt.Errorf("%d columns instead of %d", len(cells), columns)
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	row := Row{
		Name: cells[0], Arch: cells[1], Kernel: cells[2], Suite: cells[3], Package: cells[4],
		PageSize: 4096, CPUs: 2, Nodes: 1,
		Mode: cells[9], Reason: cells[10], CommandLine: cells[11], Unsound: cells[12],
	}
	for i, number := range []*int{&row.PageSize, &row.CPUs, &row.Nodes} {
		if cells[5+i] == "" {
			continue
		}
		value, err := strconv.Atoi(cells[5+i])
		if err != nil || value <= 0 {
			return Row{}, fmt.Errorf("column %d: %q is not a positive number", 6+i, cells[5+i])
		}
		*number = value
	}
	switch cells[8] {
	case "", "real":
	case "instructions":
		row.Instructions = true
	default:
		return Row{}, fmt.Errorf("clock %q is not real or instructions", cells[8])
	}
	return row, row.check()
}

func (r Row) check() error {
	switch {
	case r.Name == "" || r.Kernel == "" || r.Suite == "" || r.Package == "":
		return fmt.Errorf("row %q: name, kernel, suite and package must be given", r.Name)
	case r.Arch != "amd64" && r.Arch != "arm64":
		return fmt.Errorf("row %q: architecture %q is not amd64 or arm64", r.Name, r.Arch)
	case r.Mode != "mm_cid" && r.Mode != "cpu_id" && r.Mode != "assigned":
		return fmt.Errorf("row %q: mode %q is not mm_cid, cpu_id or assigned", r.Name, r.Mode)
	case (r.Reason == "") != (r.Mode == "mm_cid"):
		return fmt.Errorf("row %q: a reason belongs to each mode but mm_cid", r.Name)
	case r.CPUs%r.Nodes != 0:
		return fmt.Errorf("row %q: %d CPUs are not evenly split among %d nodes", r.Name, r.CPUs, r.Nodes)
	}
	if _, err := path.Match(r.Package, ""); err != nil {
		return fmt.Errorf("row %q: package pattern %q: %w", r.Name, r.Package, err)
	}
	return nil
}

// selectRows returns the rows whose name matches one of the patterns, in the
// order of the table; no pattern selects all. A pattern that selects nothing is
// an error, so that a misspelt name cannot pass for a green run.
func selectRows(rows []Row, patterns []string) ([]Row, error) {
	if len(patterns) == 0 {
		return rows, nil
	}
	chosen := make([]bool, len(rows))
	for _, pattern := range patterns {
		found := false
		for i, row := range rows {
			ok, err := path.Match(pattern, row.Name)
			if err != nil {
				return nil, fmt.Errorf("row pattern %q: %w", pattern, err)
			}
			if ok {
				chosen[i], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no row is named %q; -list prints them", pattern)
		}
	}
	var selected []Row
	for i, row := range rows {
		if chosen[i] {
			selected = append(selected, row)
		}
	}
	return selected, nil
}
