package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/bench/internal/workload"
	"github.com/vcpualloc/vcpualloc/bench/native"
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

// brief measures a peer in a child process, for a few milliseconds.
func brief(t testing.TB, shapeName, peerName string, length time.Duration, cpus int) (result.Sample, error) {
	t.Helper()
	all, unavailable, err := contenders(t.Context(), nil)
	if err != nil || unavailable != nil {
		t.Fatal(err, unavailable)
	}
	shape, err := workload.ShapeByName(shapeName)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(c contender) bool { return c.Name == peerName })
	if at < 0 {
		t.Fatalf("no peer is named %s", peerName)
	}
	request := workload.Request{Shape: shapeName, Peer: peerName, Seed: 1, Warm: time.Millisecond, Time: length}
	return measure(t.Context(), all[at], shape, request, cpus)
}

// briefOf measures pair-64 on one CPU for 10 ms, or for as long as it takes to complete
// some operations on a busy machine.
func briefOf(t *testing.T, peer string) (sample result.Sample) {
	t.Helper()
	const enough = 1000
	for length := 10 * time.Millisecond; sample.Operations < enough; length *= 2 {
		var err error
		if sample, err = brief(t, "pair-64", peer, length, 1); err != nil && !errors.Is(err, errNothingDone) {
			t.Fatal(err)
		}
	}
	return sample
}

func TestChildProcess(t *testing.T) {
	sample := briefOf(t, "make")
	if sample.CPUs != 1 || sample.CPUSeconds <= 0 || sample.ElapsedNS < 10e6 {
		t.Errorf("got %+v, want one CPU and the work of 10 ms", sample)
	}
	if perOperation := float64(sample.HeapObjects) / float64(sample.Operations); perOperation < 0.9 || perOperation > 1.1 {
		t.Errorf("make allocates %f objects per operation, want 1", perOperation)
	}
}

func TestNativeChildProcess(t *testing.T) {
	sample := briefOf(t, "glibc")
	if sample.CPUs != 1 || sample.CPUSeconds <= 0 || sample.ElapsedNS < 10e6 {
		t.Errorf("got %+v, want one CPU and the work of 10 ms", sample)
	}
	if sample.CPUPerOperation <= 0 || sample.CPUPerOperation > 1e9*sample.CPUSeconds/float64(sample.Operations) {
		t.Errorf("%f ns of CPU time an operation, and %f s altogether", sample.CPUPerOperation, sample.CPUSeconds)
	}
	if sample.PeakBytes < sample.StartBytes || sample.StartBytes == 0 || !strings.HasPrefix(sample.Mode, "libc.") {
		t.Errorf("%d bytes at the start, %d at most, malloc of %s", sample.StartBytes, sample.PeakBytes, sample.Mode)
	}
}

// TestEveryShapeInChildren runs every shape with each native peer and with the
// modes of this allocator that need a process of their own.
func TestEveryShapeInChildren(t *testing.T) {
	all, unavailable, err := contenders(t.Context(), nil)
	if err != nil || unavailable != nil {
		t.Fatal(err, unavailable)
	}
	for _, peer := range all {
		inGo, err := workload.PeerByName(peer.Name)
		if err == nil && inGo.Environment == nil {
			continue // internal/workload's tests have these
		}
		for _, shape := range workload.Shapes() {
			if !peer.serves(shape) || err == nil && shape.Name != "live-64x1000" && shape.Name != "producer-consumer" {
				continue
			}
			t.Run(shape.Name+"/"+peer.Name, func(t *testing.T) {
				t.Parallel()
				for length := 2 * time.Millisecond; length < 4*time.Second; length *= 4 {
					if sample, err := brief(t, shape.Name, peer.Name, length, 2); err == nil {
						if sample.Shape != shape.Name || sample.NSPerOperation <= 0 {
							t.Errorf("got %+v", sample)
						}
						return
					} else if !errors.Is(err, errNothingDone) {
						t.Fatal(err)
					}
				}
				t.Error("not one operation was completed")
			})
		}
	}
}

// BenchmarkNativeHarnessCost is BenchmarkHarnessCost of internal/workload for the
// native side.
func BenchmarkNativeHarnessCost(b *testing.B) {
	const runs, unlimited = 30, 1e6
	for _, shape := range workload.Shapes() {
		if shape.GoOnly || shape.HarnessLimit >= unlimited {
			continue
		}
		b.Run("shape="+shape.Name, func(b *testing.B) {
			best := math.Inf(1)
			for run := 0; run < runs && best >= shape.HarnessLimit; run++ {
				sample, err := brief(b, shape.Name, nativeHarness, shape.Time/40, 2)
				if err != nil && !errors.Is(err, errNothingDone) {
					b.Fatal(err)
				} else if err == nil {
					best = min(best, sample.NSPerOperation, sample.CPUPerOperation)
				}
			}
			b.ReportMetric(best, "ns/op")
			b.ReportMetric(shape.HarnessLimit, "limit-ns/op")
			if best >= shape.HarnessLimit {
				b.Errorf("the harness costs %.2f ns an operation in the best of %d runs, limit %.0f", best, runs, shape.HarnessLimit)
			}
		})
	}
}

func TestBothSidesHaveTheSameShapes(t *testing.T) {
	programs, err := native.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there, err := programs.Shapes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	here := []string{}
	for _, shape := range workload.Shapes() {
		if !shape.GoOnly {
			here = append(here, shape.Name)
		}
	}
	slices.Sort(here)
	slices.Sort(there)
	if !slices.Equal(here, there) {
		t.Errorf("shapes in Go are\n%q, native ones\n%q", here, there)
	}
}

func TestChildProcessFails(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	peer := goContender(program, workload.Peer{Name: "make"})
	_, err = measure(t.Context(), peer, workload.Shape{Time: time.Millisecond}, workload.Request{Shape: "none", Peer: "make"}, 1)
	if err == nil || !strings.Contains(err.Error(), `no shape "none"`) {
		t.Errorf("got error %v, want the child's own words", err)
	}
}

func TestPreload(t *testing.T) {
	directory := t.TempDir()
	library := filepath.Join(directory, "libmine.so")
	source := filepath.Join(directory, "mine.c")
	text := "#include <stddef.h>\nstatic char m[1<<20]; static size_t u;\n" +
		"void *malloc(size_t n) { size_t at = u; u += (n + 15) & ~15ul; return u > sizeof m ? NULL : m + at; }\n" +
		"void free(void *p) { if ((char *)p >= m && (char *)p < m + sizeof m) u = (char *)p - m; }\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-fno-builtin", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
	directory = t.TempDir()
	command := runCommand{
		Shape: []string{"pair-64"}, Peer: []string{"mine", "glibc"}, Preload: []string{"mine=" + library + ",SOME=thing"},
		Time: 50 * time.Millisecond, Count: 1, Seed: 1, JSON: filepath.Join(directory, "out.json"), Out: directory,
	}
	if err := command.Run(t.Context(), streams{io.Discard, io.Discard}); err != nil {
		t.Fatal(err)
	}
	d, err := result.Load(command.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Samples) != 2 || !slices.ContainsFunc(d.Samples, func(s result.Sample) bool { return s.Peer == "mine" && s.Mode == "libmine.so" }) {
		t.Errorf("samples are %+v, want one with malloc of libmine.so", d.Samples)
	}
	// A file that the loader does not take must not pass for a peer.
	command.Preload = []string{"mine=" + source}
	if err := command.Run(t.Context(), streams{io.Discard, io.Discard}); err == nil {
		t.Error("a library that cannot be loaded is measured")
	}
	for _, bad := range []string{"mine", "=" + library, "mine=/does/not/exist", "mine=" + library + ",SOME", "glibc=" + library} {
		command.Preload = []string{bad}
		if err := command.Run(t.Context(), streams{io.Discard, io.Discard}); err == nil {
			t.Errorf("-preload %q is taken", bad)
		}
	}
}

func TestChildProcessIsCappedByItsEnvironment(t *testing.T) {
	sample := briefOf(t, "vcpualloc-assigned")
	if want := vcpu.Assigned.String(); sample.Mode != want {
		t.Errorf("ran in mode %s, want %s", sample.Mode, want)
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
		Shape: []string{"pair-64", "pair-1024"}, Peer: []string{workload.Ours, "make", workload.Empty},
		Time: 50 * time.Millisecond, Count: 2, Seed: 1, Out: directory,
	}
	if err := command.Run(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(directory, "run-*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("files are %v, %v; want results, a page and two pictures", files, err)
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
	if err := (listCommand{}).Run(t.Context(), streams{&out, io.Discard}); err != nil {
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
