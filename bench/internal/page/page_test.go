package page

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
)

func TestSave(t *testing.T) {
	d := &result.Document{
		Version:  result.Version,
		Command:  []string{"bench", "run"},
		Settings: result.Settings{Rounds: 1, CPUs: []int{1, 2}, Baseline: "ours", Harness: "empty"},
		Machine:  result.Machine{CPU: "<some> CPU", CPUs: 2},
		Warnings: []string{"noise"},
		Shapes:   []result.Labelled{{Name: "fragmentation", About: "holes"}},
		Peers:    []result.Labelled{{Name: "ours"}, {Name: "theirs"}, {Name: "empty"}},
	}
	for i, peer := range d.Peers {
		d.Samples = append(d.Samples, result.Sample{Shape: "fragmentation", Peer: peer.Name, CPUs: 2, Operations: 1,
			NSPerOperation: float64(10 * (i + 1)), PeakBytes: 3 << 20, Figures: map[string]float64{"live_bytes": 7 << 20}})
	}
	directory := t.TempDir()
	drawing, to := filepath.Join(directory, "run.svg"), filepath.Join(directory, "run.html")
	if err := os.WriteFile(drawing, []byte(`<?xml version="1.0"?><svg id="it"/>`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Save(d, "run.json", drawing, to); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{`<svg id="it"/>`, "&lt;some&gt; CPU", "run.json", "noise", "GOMAXPROCS=2", "live MiB", "<td>7.0",
		"<td>ours<td>10.00", "<td>theirs<td>20.00<td>20.00<td>20.00<td>2.00", "<td>empty<td>30.00<td>30.00<td>30.00<td>–"} {
		if !strings.Contains(string(text), words) {
			t.Errorf("the page does not say %q:\n%s", words, text)
		}
	}
	for _, words := range []string{"<?xml", "http://", "https://"} {
		if strings.Contains(string(text), words) {
			t.Errorf("the page holds %q", words)
		}
	}
	if err := Save(d, "run.json", filepath.Join(directory, "none"), to); err == nil {
		t.Error("a page without its picture is written")
	}
}
