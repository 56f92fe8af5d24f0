package main

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
)

// compared is the text of a comparison of two files whose times are given.
func compared(t *testing.T, change func(*result.Document), before, after []float64) string {
	t.Helper()
	directory := t.TempDir()
	command := compareCommand{Old: filepath.Join(directory, "old.json"), New: filepath.Join(directory, "new.json")}
	for path, times := range map[string][]float64{command.Old: before, command.New: after} {
		d := &result.Document{Version: result.Version, Machine: result.Machine{CPU: "some CPU"}}
		for i, ns := range times {
			d.Samples = append(d.Samples, result.Sample{Shape: "pair-64", Peer: "ours", CPUs: 2, Round: i + 1,
				NSPerOperation: ns, PeakBytes: 8 << 20})
		}
		if path == command.New && change != nil {
			change(d)
		}
		if err := d.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := command.Run(streams{&out, io.Discard}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCompare(t *testing.T) {
	six := []float64{10, 10.1, 10.2, 10.3, 10.4, 10.5}
	half := []float64{5, 5.05, 5.1, 5.15, 5.2, 5.25}
	text := compared(t, nil, six, half)
	for _, words := range []string{"pair-64/ours-2", "10.25n", "5.125n", "-50.00%", "p=0.002 n=6", "8.000Mi", "geometric mean"} {
		if !strings.Contains(text, words) {
			t.Errorf("the comparison does not say %q:\n%s", words, text)
		}
	}
	if strings.Contains(text, "warning:") {
		t.Errorf("a warning about two runs of one machine:\n%s", text)
	}
	if text := compared(t, nil, six, six); strings.Contains(text, "-0.00%") || !strings.Contains(text, "~") {
		t.Errorf("two equal runs differ:\n%s", text)
	}
	if text := compared(t, nil, six[:2], half[:2]); !strings.Contains(text, "need >= 6 samples") {
		t.Errorf("two rounds pass for a proof:\n%s", text)
	}
	moved := func(d *result.Document) { d.Machine.CPU = "another CPU" }
	if text := compared(t, moved, six, half); !strings.Contains(text, "warning: the machine was some CPU") {
		t.Errorf("no warning about two machines:\n%s", text)
	}
}

func TestCompareRefuses(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "empty.json")
	if err := (&result.Document{Version: result.Version}).Save(path); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]compareCommand{
		"a missing file":    {Old: filepath.Join(directory, "none"), New: path},
		"nothing in common": {Old: path, New: path},
	} {
		if err := command.Run(streams{io.Discard, io.Discard}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
