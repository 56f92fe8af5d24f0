package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/bench/internal/workload"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// TestMain lets the test program be its own child process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLongFlags(t *testing.T) {
	got := longFlags([]string{"run", "-shape", "pair-64", "--peer=make", "-json=x-y", "-h", "-1.5", "--", "-shape"})
	want := []string{"run", "--shape", "pair-64", "--peer=make", "--json=x-y", "-h", "-1.5", "--", "-shape"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestChildProcess(t *testing.T) {
	peer, err := workload.PeerByName("make")
	if err != nil {
		t.Fatal(err)
	}
	request := workload.Request{Shape: "pair-64", Peer: peer.Name, Seed: 1, Warm: time.Millisecond, Time: 10 * time.Millisecond}
	sample, err := measure(t.Context(), peer, request, 1)
	if err != nil {
		t.Fatal(err)
	}
	if sample.CPUs != 1 || sample.Operations < 1000 || sample.CPUSeconds <= 0 || sample.ElapsedNS < 10e6 {
		t.Errorf("got %+v, want one CPU and the work of 10 ms", sample)
	}
	if perOperation := float64(sample.HeapObjects) / float64(sample.Operations); perOperation < 0.9 || perOperation > 1.1 {
		t.Errorf("make allocates %f objects per operation, want 1", perOperation)
	}
}

func TestChildProcessFails(t *testing.T) {
	_, err := measure(t.Context(), workload.Peer{}, workload.Request{Shape: "none", Peer: "make"}, 1)
	if err == nil || !strings.Contains(err.Error(), `no shape "none"`) {
		t.Errorf("got error %v, want the child's own words", err)
	}
}

func TestChildProcessIsCappedByItsEnvironment(t *testing.T) {
	peer, err := workload.PeerByName("vcpualloc-assigned")
	if err != nil {
		t.Fatal(err)
	}
	request := workload.Request{Shape: "pair-64", Peer: peer.Name, Seed: 1, Warm: time.Millisecond, Time: time.Millisecond}
	sample, err := measure(t.Context(), peer, request, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := vcpu.Assigned.String(); sample.Mode != want {
		t.Errorf("%s ran in mode %s, want %s", peer.Name, sample.Mode, want)
	}
}

func TestParseAnswer(t *testing.T) {
	asked := workload.Request{Shape: "pair-64", Peer: "make"}
	form := `{"version":%d,"sample":{"shape":%q,"peer":"make","operations":%d}}`
	if _, err := parseAnswer(fmt.Appendf(nil, form, result.Version, "pair-64", 1), asked); err != nil {
		t.Errorf("a good answer: %v", err)
	}
	if _, err := parseAnswer(fmt.Appendf(nil, form, 99, "pair-64", 1), asked); !errors.Is(err, result.ErrVersion) {
		t.Errorf("version 99: got error %v, want %v", err, result.ErrVersion)
	}
	for _, bad := range []string{"", fmt.Sprintf(form, result.Version, "other", 1), fmt.Sprintf(form, result.Version, "pair-64", 0)} {
		if _, err := parseAnswer([]byte(bad), asked); err == nil {
			t.Errorf("the answer %q is taken", bad)
		}
	}
}

func TestRunAndReport(t *testing.T) {
	directory := t.TempDir()
	var out, progress bytes.Buffer
	to := streams{&out, &progress}
	command := runCommand{
		Shape: []string{"pair-64", "pair-10*"}, Peer: []string{workload.Ours, "make", workload.Empty},
		Time: 2 * time.Millisecond, Count: 2, Seed: 1, Out: directory,
	}
	if err := command.Run(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(directory, "run-*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files are %v, %v; want results and two pictures", files, err)
	}
	for _, words := range append(files, "pair-64", "pair-1024", workload.Ours, "make", "GC CPU", "mode ") {
		if !strings.Contains(out.String(), words) {
			t.Errorf("the report does not say %q:\n%s", words, &out)
		}
	}
	if got := strings.Count(progress.String(), "round 2 of 2"); got != 6 {
		t.Errorf("%d lines of progress for round 2, want 6:\n%s", got, &progress)
	}
	results := files[slices.IndexFunc(files, func(path string) bool { return filepath.Ext(path) == ".json" })]
	d, err := result.Load(results)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Samples) != 2*2*3 || d.Samples[0].Peer == d.Samples[6].Peer {
		t.Errorf("%d samples, %s first in round 1 and %s in round 2; want 12, and peers taking turns",
			len(d.Samples), d.Samples[0].Peer, d.Samples[6].Peer)
	}
	out.Reset()
	if err := (reportCommand{File: []string{results}, Out: t.TempDir()}).Run(to); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "pair-1024") {
		t.Errorf("the report of the file has no table:\n%s", &out)
	}
}

func TestRunRefuses(t *testing.T) {
	to := streams{io.Discard, io.Discard}
	for name, command := range map[string]runCommand{
		"unknown shape": {Shape: []string{"none"}, Count: 1},
		"unknown peer":  {Peer: []string{"none"}, Count: 1},
		"bad pattern":   {Peer: []string{"["}, Count: 1},
		"no rounds":     {},
		"no CPUs":       {Count: 1, CPUs: []int{0}},
	} {
		if err := command.Run(context.Background(), to); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFeaturesInWords(t *testing.T) {
	for _, test := range []struct {
		features vcpu.Features
		want     []string
	}{
		{vcpu.Features{KernelSize: 33, KernelAlign: 64, Owner: "self", Mode: vcpu.MMCID, Fence: true},
			[]string{"mm_cid", "concurrency id", "highest mode", "33 bytes", "registers its threads"}},
		{vcpu.Features{Owner: "none", Mode: vcpu.Assigned, Reason: "rseq(2) is forbidden"},
			[]string{"assigned", "rseq(2) is forbidden", "tells no rseq feature size", "nobody", "no membarrier"}},
		{vcpu.Features{KernelSize: 20, Owner: "libc", Mode: vcpu.CPUID, Reason: "old kernel"}, []string{"cpu_id", "CPU number", "C library"}},
	} {
		var text bytes.Buffer
		if err := printFeatures(&text, test.features); err != nil {
			t.Fatal(err)
		}
		for _, words := range test.want {
			if !strings.Contains(text.String(), words) {
				t.Errorf("%+v in words does not say %q:\n%s", test.features, words, &text)
			}
		}
	}
}

func TestListNamesAll(t *testing.T) {
	var out bytes.Buffer
	if err := (listCommand{}).Run(streams{&out, io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, shape := range workload.Shapes() {
		if !strings.Contains(out.String(), shape.Name) {
			t.Errorf("list does not name the shape %s", shape.Name)
		}
	}
	for _, peer := range workload.Peers() {
		if !strings.Contains(out.String(), peer.Name) {
			t.Errorf("list does not name the peer %s", peer.Name)
		}
	}
}
