package result

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

func canned() *Document {
	d := &Document{
		Version:  Version,
		Started:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Command:  []string{"bench", "run"},
		Settings: Settings{Rounds: 3, CPUs: []int{2}, Time: time.Second, Seed: 1, Baseline: "ours", Harness: "empty"},
		Machine:  Machine{OS: "linux", Kernel: "6.18", CPU: "some CPU", CPUs: 2, Load: []float64{0.1, 0.2, 0.3}},
		Features: vcpu.Features{KernelSize: 33, Owner: "self", Mode: vcpu.MMCID},
		Shapes:   []Labelled{{"pair-64", "a pair"}},
		Peers:    []Labelled{{"ours", "us"}, {"make", "them"}},
	}
	for i, ns := range []float64{6, 4, 5, 30, 20, 10} {
		d.Samples = append(d.Samples, Sample{
			Shape: "pair-64", Peer: d.Peers[i/3].Name, CPUs: 2, Round: i%3 + 1, Operations: 1000,
			NSPerOperation: ns, PeakBytes: int64(ns) << 20, HeapObjects: int64(i/3) * 1000, Mode: "mm_cid",
		})
	}
	return d
}

func TestDocumentRoundTrip(t *testing.T) {
	var text bytes.Buffer
	want := canned()
	if err := want.Write(&text); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back\n%+v\nwant\n%+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	if _, err := Read(strings.NewReader(`{"version": 99}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("version 99: got error %v, want %v", err, ErrVersion)
	}
	if _, err := Read(strings.NewReader("no JSON")); err == nil {
		t.Error("what is not JSON is read without an error")
	}
}

func TestGroups(t *testing.T) {
	groups := canned().Groups()
	if len(groups) != 1 || len(groups[0].Summaries) != 2 {
		t.Fatalf("got %+v, want one group of two peers", groups)
	}
	ours, theirs := groups[0].Summaries[0], groups[0].Summaries[1]
	if want := (Spread{5, 4, 6}); ours.Time != want {
		t.Errorf("time of ours is %v, want %v", ours.Time, want)
	}
	if theirs.Ratio != 4 || ours.Ratio != 1 {
		t.Errorf("ratios are %f and %f, want 1 and 4", ours.Ratio, theirs.Ratio)
	}
	if theirs.HeapObjects != 1 {
		t.Errorf("%f objects per operation, want 1", theirs.HeapObjects)
	}
}

func TestForeignActivity(t *testing.T) {
	before := parseActivity("cpu  100 0 100 1000 0 0 0 0 0 0")
	after := parseActivity("cpu  250 0 150 1250 0 0 0 50 0 0")
	// 500 ticks went by, 250 of them busy, 200 of those ours.
	if got := before.Foreign(after, 2); got != 0.1 {
		t.Errorf("others used %f, want 0.1", got)
	}
	if got := before.Foreign(before, 0); got != 0 {
		t.Errorf("in no time others used %f, want 0", got)
	}
	if Disturbed(0.01) != "" || Disturbed(0.3) == "" {
		t.Error("a hundredth must pass as quiet, three tenths must not")
	}
	if parseActivity("intr 1 2 3 4 5 6 7 8 9") != (Activity{}) {
		t.Error("a line that is not about CPUs is read as one")
	}
}

func TestDisquiet(t *testing.T) {
	if words := (Machine{CPUs: 2, Load: []float64{0.1}}).Disquiet(); words != "" {
		t.Errorf("a load of 0.1 on 2 CPUs: %q, want nothing", words)
	}
	if words := (Machine{CPUs: 2, Load: []float64{1.5}}).Disquiet(); words == "" {
		t.Error("a load of 1.5 on 2 CPUs passes as quiet")
	}
}

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	if m.Go == "" || m.CPUs < 1 || !strings.Contains(m.String(), m.Go) {
		t.Errorf("the machine is %+v, in words %q", m, m)
	}
	if got := chosen("always [madvise] never"); got != "madvise" {
		t.Errorf("chosen gives %q, want madvise", got)
	}
}

func TestFilesOfResults(t *testing.T) {
	d := &Document{Version: Version, Command: []string{"bench", "run"}}
	lengths := map[string]int64{}
	for _, name := range []string{"plain.json", "packed.json.gz"} {
		path := filepath.Join(t.TempDir(), name)
		if err := d.Save(path); err != nil {
			t.Fatal(err)
		}
		back, err := Load(path)
		if err != nil || !slices.Equal(back.Command, d.Command) {
			t.Errorf("%s: read back %+v, error %v", name, back, err)
		}
		information, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		lengths[Base(path)] = information.Size()
	}
	if lengths["packed"] >= lengths["plain"] || lengths["packed"] == 0 {
		t.Errorf("lengths of the files: %v", lengths)
	}
	broken := filepath.Join(t.TempDir(), "broken.json.gz")
	if err := os.WriteFile(broken, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(broken); err == nil {
		t.Error("a file that is not compressed is read as if it were")
	}
}
