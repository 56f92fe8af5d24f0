package picture

import (
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
)

func canned() *result.Document {
	d := &result.Document{
		Version:  result.Version,
		Started:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Settings: result.Settings{Rounds: 2, CPUs: []int{1, 2}, Baseline: "ours", Harness: "empty"},
		Shapes:   []result.Labelled{{Name: "pair-64", About: "a pair"}},
		Peers:    []result.Labelled{{Name: "ours"}, {Name: "ours-other"}, {Name: "make"}, {Name: "empty"}},
		Warnings: []string{"noise"},
	}
	for i, peer := range d.Peers {
		for _, cpus := range d.Settings.CPUs {
			d.Samples = append(d.Samples, result.Sample{
				Shape: "pair-64", Peer: peer.Name, CPUs: cpus, Operations: 1,
				NSPerOperation: float64(i*i) * 100, StartBytes: 1 << 20, PeakBytes: int64(i) << 20,
			})
		}
	}
	return d
}

func TestSave(t *testing.T) {
	base := filepath.Join(t.TempDir(), "run")
	paths, err := Save(canned(), "run.json", base)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) != 2 || paths[0] != base+".svg" || paths[1] != base+".png" {
		t.Fatalf("saved %v, want run.svg and run.png", paths)
	}
	drawing, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(strings.NewReader(string(drawing)))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the SVG is not XML: %v", err)
		}
	}
	for _, words := range []string{"ours-other", "make", "empty", "GOMAXPROCS=2", "run.json", "noise", "2 January 2026"} {
		if !strings.Contains(string(drawing), words) {
			t.Errorf("the SVG does not say %q", words)
		}
	}
	file, err := os.Open(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	image, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := image.Bounds().Dx(); got != pageWidth*dotsPerInch/72 {
		t.Errorf("the PNG is %d pixels wide, want %d", got, pageWidth*dotsPerInch/72)
	}
}

func TestSaveRefusesNothing(t *testing.T) {
	d := canned()
	d.Samples = nil
	if _, err := Save(d, "run.json", filepath.Join(t.TempDir(), "run")); err == nil {
		t.Error("a document without samples is drawn")
	}
}

func TestWords(t *testing.T) {
	for value, want := range map[float64]string{1: "1 ns", 0.55: "0.55 ns", 41.74: "41.7 ns", 644: "644 ns", 16733: "16.7 µs", 999.6: "1.00 µs"} {
		if got := nanoseconds(value); got != want {
			t.Errorf("%f ns is written %q, want %q", value, got, want)
		}
	}
	for value, want := range map[float64]string{0: "0 MiB", 9.2 * (1 << 20): "9.20 MiB", 3 << 30: "3 GiB"} {
		if got := bytes(value); got != want {
			t.Errorf("%f bytes are written %q, want %q", value, got, want)
		}
	}
}

func TestScales(t *testing.T) {
	times := decades(1.4, 1351, 0, 400)
	if times.at(1) != 0 || times.at(10000) != 400 || times.at(100) != 200 {
		t.Errorf("1, 100 and 10000 lie at %v, %v and %v, want 0, 200 and 400", times.at(1), times.at(100), times.at(10000))
	}
	if got := len(times.marks()); got != 5 {
		t.Errorf("%d marks from 1 to 10000, want 5", got)
	}
	memory := fromZero(1000, 0, 100)
	if memory.at(500) != 50 {
		t.Errorf("the half lies at %v, want 50", memory.at(500))
	}
	if got := len(memory.marks()); got < 3 || got > 6 {
		t.Errorf("%d marks of memory, want 3 to 6", got)
	}
}
