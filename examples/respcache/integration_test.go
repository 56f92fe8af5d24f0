package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// redisTool returns a program of the package redis-tools, which the tests need:
// what they check is that real clients are content.
func redisTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; install the package redis-tools (apt-get install -y redis-tools): %v", name, err)
	}
	return path
}

// redisCLI runs redis-cli against p with stdin and returns what it prints.
func redisCLI(t *testing.T, p *process, stdin string, arguments ...string) string {
	t.Helper()
	command := exec.Command(redisTool(t, "redis-cli"), append([]string{"-p", p.port}, arguments...)...)
	command.Stdin = strings.NewReader(stdin)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %q: %v\n%s", arguments, err, out)
	}
	return string(out)
}

func TestRedisCLI(t *testing.T) {
	p := startProcess(t)
	for _, test := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"PING"}, "PONG"},
		{[]string{"SET", "a key", "a value"}, "OK"},
		{[]string{"GET", "a key"}, "a value"},
		{[]string{"--no-raw", "GET", "absent"}, "(nil)"},
		{[]string{"--no-raw", "INCR", "n"}, "(integer) 1"},
		{[]string{"--no-raw", "MGET", "n", "absent"}, "1) \"1\"\n2) (nil)"},
		{[]string{"-n", "0", "DBSIZE"}, "2"},
		{[]string{"INCR", "a key"}, "ERR value is not an integer or out of range"},
		{[]string{"-r", "3", "INCR", "n"}, "2\n3\n4"},
	} {
		if got := strings.TrimSpace(redisCLI(t, p, "", test.arguments...)); got != test.want {
			t.Errorf("redis-cli %q: got %q, want %q", test.arguments, got, test.want)
		}
	}
	if got := redisCLI(t, p, "SET b 1\nAPPEND b 2\nGET b\n"); got != "OK\n2\n12\n" {
		t.Errorf("redis-cli with requests on its input: got %q", got)
	}
	if got := redisCLI(t, p, "", "INFO", "memory"); !strings.Contains(got, "mem_allocator:vcpualloc") {
		t.Errorf("redis-cli INFO memory: got %q", got)
	}
}

// TestRedisCLIPipe loads keys by redis-cli --pipe, which streams requests and
// counts replies and errors.
func TestRedisCLIPipe(t *testing.T) {
	const keys = 50_000
	p := startProcess(t)
	var requests bytes.Buffer
	for i := range keys {
		key, value := keyOf(uint64(i)), strconv.Itoa(i)
		fmt.Fprintf(&requests, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
	}
	got := redisCLI(t, p, requests.String(), "--pipe")
	if want := fmt.Sprintf("errors: 0, replies: %d", keys); !strings.Contains(got, want) {
		t.Errorf("redis-cli --pipe: got %q, want %q", got, want)
	}
	if got := redisCLI(t, p, "", "DBSIZE"); got != fmt.Sprintln(keys) {
		t.Errorf("DBSIZE: got %q, want %d", got, keys)
	}
}

// benchmark runs redis-benchmark and returns the figures that it prints.
func benchmark(t *testing.T, p *process, arguments ...string) string {
	t.Helper()
	command := exec.Command(redisTool(t, "redis-benchmark"), append([]string{"-p", p.port, "--csv"}, arguments...)...)
	out, err := command.CombinedOutput()
	if text := strings.ToLower(string(out)); err != nil || strings.Contains(text, "error") || strings.Contains(text, "warning") {
		t.Fatalf("redis-benchmark %q: %v\n%s", arguments, err, out)
	}
	return string(out)
}

// TestRedisBenchmark runs 200000 SETs and as many GETs with pipelining and
// random keys, then the other commands that redis-benchmark knows and we have.
func TestRedisBenchmark(t *testing.T) {
	const requests, keys = 200_000, 100_000
	p := startProcess(t)
	figures := benchmark(t, p, "-t", "set,get", "-n", strconv.Itoa(requests), "-r", strconv.Itoa(keys), "-P", "16")
	t.Log(figures)
	if !strings.Contains(figures, `"SET"`) || !strings.Contains(figures, `"GET"`) {
		t.Errorf("redis-benchmark reports neither SET nor GET:\n%s", figures)
	}
	c := dial(t, p.address)
	stats := c.info(t, "stats", "keyspace")
	if n := infoNumber(t, stats, "total_commands_processed"); n < 2*requests {
		t.Errorf("%d requests were handled, want at least %d", n, 2*requests)
	}
	if n := infoNumber(t, stats, "keyspace_hits") + infoNumber(t, stats, "keyspace_misses"); n != requests {
		t.Errorf("%d lookups were counted, want %d", n, requests)
	}
	// So many different keys come out of as many draws, give or take nothing
	// that matters: keys * (1 - 1/e^2) = 86466.
	size, err := strconv.Atoi(c.do(t, "DBSIZE").text)
	if err != nil || size < keys*85/100 || size > keys*88/100 {
		t.Errorf("%d keys are stored (%v), want about 86 %% of %d", size, err, keys)
	}
	benchmark(t, p, "-t", "ping,incr,mset", "-n", "20000", "-r", "1000", "-P", "16")
	benchmark(t, p, "-t", "set,get", "-n", "20000", "-r", "1000", "-d", "10000", "-c", "10")
}

// TestValuesReadBack stores 200000 values under random keys and reads 200000
// random keys, pipelined, on four connections: what comes back is what was
// stored last.
func TestValuesReadBack(t *testing.T) {
	const connections, operations, keys = 4, 200_000, 60_000
	p := startProcess(t)
	parallel(t, p.address, connections, keys/connections, false, func(l *loader) error {
		for range operations / connections / pipelineDepth {
			if err := l.set(pipelineDepth, func() int { return l.random.IntN(1 << (1 + l.random.IntN(10))) }); err != nil {
				return err
			}
			if err := l.get(pipelineDepth); err != nil {
				return err
			}
		}
		return nil
	})
}

// memoryWatch samples what a server says of its memory and what the kernel says.
type memoryWatch struct {
	samples                   int
	mostUsed, mostRSS, minRSS int64
}

func watchMemory(t *testing.T, p *process, stop *atomic.Bool) memoryWatch {
	c := dial(t, p.address)
	w := memoryWatch{minRSS: p.residentBytes(t)}
	for !stop.Load() {
		lines := c.info(t, "memory")
		w.mostUsed = max(w.mostUsed, infoNumber(t, lines, "used_memory"), infoNumber(t, lines, "used_memory_peak"))
		w.mostRSS = max(w.mostRSS, p.residentBytes(t))
		w.samples++
		time.Sleep(10 * time.Millisecond)
	}
	return w
}

// TestMemoryLimit stores over 150 MB under a limit of 16 MB, in sizes that change
// over time, and watches the memory: never above the limit by more than 5 %, no
// request refused, no value damaged.
func TestMemoryLimit(t *testing.T) {
	const limit, connections, keys = 16 << 20, 4, 1 << 20
	const allowed = limit * 105 / 100
	// Besides the data, the process holds the buffers of connections and garbage
	// that the collector lets pass between its cycles.
	const besides = 48 << 20
	p := startProcess(t, "-maxmemory", "16mb")
	var stop atomic.Bool
	watched := make(chan memoryWatch, 1)
	var hits atomic.Int64
	go func() {
		defer close(watched) // also if the watch fails
		watched <- watchMemory(t, p, &stop)
	}()

	parallel(t, p.address, connections, keys, true, func(l *loader) error {
		phases := []struct {
			bytes, depth int
			size         func() int
		}{
			{24 << 20, pipelineDepth, func() int { return 100 }},
			{30 << 20, pipelineDepth, func() int { return 10 << 10 }},
			{30 << 20, pipelineDepth, func() int { return l.random.IntN(1 << (1 + l.random.IntN(13))) }},
			{30 << 20, 2, func() int { return 100<<10 + l.random.IntN(300<<10) }},
			{20 << 20, pipelineDepth, func() int { return 1000 }},
			{30 << 20, 4, func() int { return l.random.IntN(1 << (1 + l.random.IntN(18))) }},
		}
		for i, phase := range phases {
			for stored := 0; stored < phase.bytes/connections; {
				size := func() int {
					n := phase.size()
					stored += n
					return n
				}
				if err := l.set(phase.depth, size); err != nil {
					return fmt.Errorf("phase %d: %w", i, err)
				}
				if err := l.get(phase.depth); err != nil {
					return fmt.Errorf("phase %d: %w", i, err)
				}
			}
		}
		hits.Add(int64(l.hits))
		return nil
	})
	stop.Store(true)
	w := <-watched
	stats := dial(t, p.address).info(t, "stats", "memory")
	t.Logf("%d samples: at most %d of %d bytes used, RSS from %d to %d; %s keys evicted, %d values checked",
		w.samples, w.mostUsed, limit, w.minRSS, w.mostRSS, stats["evicted_keys"], hits.Load())
	if hits.Load() < 10_000 {
		t.Errorf("%d values were read back, want more to check", hits.Load())
	}
	if w.mostUsed > allowed {
		t.Errorf("%d bytes were used at one time, above the limit of %d by more than 5 %%", w.mostUsed, limit)
	}
	if w.mostUsed < limit/2 {
		t.Errorf("at most %d bytes were ever used of %d", w.mostUsed, limit)
	}
	if grown := w.mostRSS - w.minRSS; grown > allowed+besides {
		t.Errorf("the process grew by %d bytes, want at most %d", grown, allowed+besides)
	}
	if infoNumber(t, stats, "evicted_keys") == 0 {
		t.Error("no key was evicted; the test wants pressure")
	}
}
