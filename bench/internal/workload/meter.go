package workload

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// meter reads what the process has used, before and after the measured time.
type meter struct {
	before, after reading
	figures       map[string]float64
}

// reading is one look at the process's counters, all of which only grow.
type reading struct {
	cycles       uint64  // of the garbage collector
	collector    float64 // CPU seconds
	busy         float64 // CPU seconds of GOMAXPROCS CPUs, idle ones left out
	objects      uint64  // allocated on the Go heap
	minor, major int64   // page faults
	aborted      uint64  // critical sections
	cpu          int64   // ns of all threads
}

func (m *meter) start() {
	m.before = read()
	m.before.cpu = cpuNanoseconds()
}

func (m *meter) stop() {
	cpu := cpuNanoseconds() // before reading the rest takes time
	m.after = read()
	m.after.cpu = cpu
}

// report fills in what happened between start and stop.
//
// The runtime brings its CPU times up to date at the end of each garbage
// collection only; so the collector's share is that of the time between the
// last one before start and the last one before stop, and 0 where none ended
// in between.
func (m *meter) report(s *result.Sample) {
	s.GCCycles = int64(m.after.cycles - m.before.cycles)
	if busy := m.after.busy - m.before.busy; s.GCCycles > 0 && busy > 0 {
		// The runtime's estimates of both can be off where others use the CPUs.
		s.GCShare = min(1, (m.after.collector-m.before.collector)/busy)
	}
	s.HeapObjects = int64(m.after.objects - m.before.objects)
	s.MinorFaults = m.after.minor - m.before.minor
	s.MajorFaults = m.after.major - m.before.major
	s.Figures = m.figures
	s.CPUPerOperation = float64(m.after.cpu-m.before.cpu) / float64(max(s.Operations, 1))
	s.Aborts = int64(m.after.aborted - m.before.aborted)
}

func read() reading {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/heap/tiny/allocs:objects"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"},
	}
	metrics.Read(samples)
	r := reading{
		cycles:    samples[0].Value.Uint64(),
		objects:   samples[1].Value.Uint64() + samples[2].Value.Uint64(),
		collector: samples[3].Value.Float64(),
		busy:      samples[4].Value.Float64() - samples[5].Value.Float64(),
		aborted:   uint64(rseqcs.ReadStats().Aborts),
	}
	r.minor, r.major = pageFaults()
	return r
}

// settle makes the counters current and the heap small before a shape starts.
func settle() { runtime.GC() }

// pageFaults returns the faults of this process without and with reading from
// a disk (fields 10 and 12 of proc_pid_stat(5)), and zeros where there is no
// such file.
func pageFaults() (minor, major int64) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0
	}
	// The second field is a name that may hold blanks, in parentheses.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 10 {
		return 0, 0
	}
	minor, _ = strconv.ParseInt(fields[7], 10, 64)
	major, _ = strconv.ParseInt(fields[9], 10, 64)
	return minor, major
}

// residentBytes returns what the process has resident now and had at most
// (VmRSS and VmHWM of proc_pid_status(5)), and zeros where there is no such
// file.
func residentBytes() (now, peak int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak
}
