package main

import (
	"strings"
	"testing"
)

func TestRowsOfTheTable(t *testing.T) {
	rows, err := parseRows(rowsText)
	if err != nil {
		t.Fatal(err)
	}
	wanted := "amd64-5.10 amd64-6.1 amd64-6.12 amd64-6.18 amd64-6.19 amd64-7.0 amd64-7.3 " +
		"arm64-5.10 arm64-6.1 arm64-6.12 arm64-6.19 arm64-7.0 arm64-7.3 arm64-7.3-16k"
	for _, name := range strings.Fields(wanted) {
		if _, err := selectRows(rows, []string{name}); err != nil {
			t.Error(err)
		}
	}
	for _, row := range rows {
		if !strings.HasPrefix(row.Name, row.Arch+"-"+row.Kernel) {
			t.Errorf("row %s is for %s on %s", row.Name, row.Kernel, row.Arch)
		}
		if strings.HasSuffix(row.Name, "-debug") != strings.Contains(row.CommandLine, "rseq_debug=1") {
			t.Errorf("row %s has kernel command line %q", row.Name, row.CommandLine)
		}
	}
}

func TestParseRow(t *testing.T) {
	full := "a | arm64 | 7.3 | trixie | linux-*-16k | 16384 | 8 | 2 | instructions | cpu_id | why | x=1 y | it forgets"
	got, err := parseRow(full)
	want := Row{"a", "arm64", "7.3", "trixie", "linux-*-16k", 16384, 8, 2, true, "cpu_id", "why", "x=1 y", "it forgets"}
	if err != nil || got != want {
		t.Errorf("parseRow(%q) = %+v, %v; want %+v", full, got, err, want)
	}
	short := "a|amd64|7.3|trixie|linux-*|||||mm_cid|||"
	got, err = parseRow(short)
	want = Row{Name: "a", Arch: "amd64", Kernel: "7.3", Suite: "trixie", Package: "linux-*", PageSize: 4096, CPUs: 2, Nodes: 1, Mode: "mm_cid"}
	if err != nil || got != want {
		t.Errorf("parseRow(%q) = %+v, %v; want %+v", short, got, err, want)
	}
}

func TestParseRowsRefuses(t *testing.T) {
	good := "a|amd64|7.3|trixie|linux-*|||||mm_cid|||"
	if _, err := parseRows(good); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"a|amd64|7.3": "3 columns instead of 13",
		"a|riscv|7.3|trixie|linux-*|||||mm_cid|||":     "riscv",
		"a|amd64|7.3|trixie|linux-*|0||||mm_cid|||":    "column 6",
		"a|amd64|7.3|trixie|linux-*||two|||mm_cid|||":  "column 7",
		"a|amd64|7.3|trixie|linux-*||3|2||mm_cid|||":   "evenly",
		"a|amd64|7.3|trixie|linux-*||||slow|mm_cid|||": "slow",
		"a|amd64|7.3|trixie|linux-*|||||fast|||":       "fast",
		"a|amd64|7.3|trixie|linux-*|||||cpu_id|||":     "reason",
		"a|amd64|7.3|trixie|linux-*|||||mm_cid|why||":  "reason",
		"a|amd64|7.3|trixie|linux-[|||||mm_cid|||":     "pattern",
		"|amd64|7.3|trixie|linux-*|||||mm_cid|||":      "must be given",
		good + "\n# comment\n\n" + good:                "line 4",
	} {
		if _, err := parseRows(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseRows(%q) gives error %v; want one with %q", text, err, want)
		}
	}
}

func TestSelectRows(t *testing.T) {
	rows := []Row{{Name: "amd64-6.1"}, {Name: "amd64-6.12"}, {Name: "arm64-6.1"}}
	for patterns, want := range map[string]string{
		"":                  "amd64-6.1 amd64-6.12 arm64-6.1",
		"arm64-6.1 amd64-*": "amd64-6.1 amd64-6.12 arm64-6.1",
		"amd64-6.1":         "amd64-6.1",
		"*-6.1":             "amd64-6.1 arm64-6.1",
	} {
		selected, err := selectRows(rows, strings.Fields(patterns))
		var names []string
		for _, row := range selected {
			names = append(names, row.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("selectRows(%q) = %q, %v; want %q", patterns, got, err, want)
		}
	}
	if _, err := selectRows(rows, []string{"amd64-6.1", "amd46-6.1"}); err == nil {
		t.Error("a name that no row has must be an error")
	}
}
