// Package result is what the bench writes down and reads back: samples, the
// machine that they come from, and their summaries.
package result

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Version is the version of the document's form. It changes when a field gets
// another meaning or goes away, not when one is added.
const Version = 1

// ErrVersion says that a document is of another form than this program reads.
var ErrVersion = errors.New("result: form of another version")

// Document is the file of one run.
type Document struct {
	Version  int           `json:"version"`
	Started  time.Time     `json:"started"`
	Command  []string      `json:"command"`
	Settings Settings      `json:"settings"`
	Machine  Machine       `json:"machine"`
	Features vcpu.Features `json:"features"`
	Warnings []string      `json:"warnings,omitempty"`

	// ForeignShare is which part of the machine's CPU time others used during
	// the run, 0 to 1.
	ForeignShare float64 `json:"foreign_share"`

	Shapes  []Labelled `json:"shapes"`
	Peers   []Labelled `json:"peers"`
	Samples []Sample   `json:"samples"`
}

// Settings are what the run was asked for.
type Settings struct {
	Rounds   int           `json:"rounds"`
	CPUs     []int         `json:"cpus"`
	Time     time.Duration `json:"time_ns,omitempty"` // 0: each shape's own
	Seed     uint64        `json:"seed"`
	Baseline string        `json:"baseline"` // the peer that ratios are taken to

	// Peers that show the harness's own cost.
	Harness       string `json:"harness"`
	NativeHarness string `json:"native_harness,omitempty"`
}

// IsHarness reports whether a peer only shows what a harness costs.
func (s Settings) IsHarness(peer string) bool { return peer == s.Harness || peer == s.NativeHarness }

// Labelled is the name of a shape or peer and what it means.
type Labelled struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// Sample is one measurement: one shape done by one peer, in a process of its
// own.
type Sample struct {
	Shape          string  `json:"shape"`
	Peer           string  `json:"peer"`
	CPUs           int     `json:"cpus"` // GOMAXPROCS
	Round          int     `json:"round"`
	Workers        int     `json:"workers"` // goroutines
	Operations     int64   `json:"operations"`
	ElapsedNS      int64   `json:"elapsed_ns"`
	NSPerOperation float64 `json:"ns_per_operation"`
	// CPUPerOperation is the CPU time of all threads of the process in the
	// measured part, those of a garbage collector too, in ns. Others who use the
	// CPUs lengthen it less than the time that went by.
	CPUPerOperation float64 `json:"cpu_ns_per_operation"`

	StartBytes  int64   `json:"start_bytes"` // resident before the peer was opened
	PeakBytes   int64   `json:"peak_bytes"`  // resident at most (VmHWM)
	EndBytes    int64   `json:"end_bytes"`   // resident after all was freed
	GCCycles    int64   `json:"gc_cycles"`
	GCShare     float64 `json:"gc_share"`     // of the CPU time used, 0 to 1
	HeapObjects int64   `json:"heap_objects"` // allocated on the Go heap
	Aborts      int64   `json:"aborts"`       // of critical sections
	Arenas      int64   `json:"arenas"`       // of ours, that were ever used; 0 for others
	MinorFaults int64   `json:"minor_faults"`
	MajorFaults int64   `json:"major_faults"`
	CPUSeconds  float64 `json:"cpu_seconds"` // of the whole process
	Mode        string  `json:"mode"`
	ModeReason  string  `json:"mode_reason,omitempty"`

	// Figures are what only some shapes look at; names end in their unit.
	Figures map[string]float64 `json:"figures,omitempty"`
}

// Write writes the document as indented JSON.
func (d *Document) Write(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(d); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// packed is how the names of files end that are compressed.
const packed = ".gz"

// Save writes the document into a file.
func (d *Document) Save(path string) error {
	var text bytes.Buffer
	if err := d.save(&text, strings.HasSuffix(path, packed)); err != nil {
		return err
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

func (d *Document) save(w io.Writer, compress bool) error {
	if !compress {
		return d.Write(w)
	}
	z := gzip.NewWriter(w)
	return errors.Join(d.Write(z), z.Close())
}

// Base returns the name of a file of results without what it ends in.
func Base(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), packed)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// Read reads a document.
func Read(r io.Reader) (*Document, error) {
	d := &Document{}
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	if d.Version != Version {
		return nil, fmt.Errorf("%w: %d, this program reads %d", ErrVersion, d.Version, Version)
	}
	return d, nil
}

// Load reads the document of a file.
func Load(path string) (*Document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	defer file.Close()
	var text io.Reader = file
	if strings.HasSuffix(path, packed) {
		if text, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("result: %s: %w", path, err)
		}
	}
	d, err := Read(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}
