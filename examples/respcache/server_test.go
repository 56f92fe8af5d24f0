package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asServer makes the test binary be respcache itself, so that the server of the
// integration tests is a process of its own whose memory can be watched.
const asServer = "RESPCACHE_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const listeningPrefix = "respcache: listening on "

// readAddress reads the line that tells where the server listens.
func readAddress(t *testing.T, output *bufio.Reader) string {
	t.Helper()
	line, err := output.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), listeningPrefix)
	if err != nil || !ok {
		t.Fatalf("the first line is %q (%v), want %q and an address", line, err, listeningPrefix)
	}
	return address
}

// startInProcess runs a server on a free port within the test and returns its
// address. The test fails if it does not stop cleanly.
func startInProcess(t *testing.T, arguments ...string) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"-port", "0"}, arguments...), writer, writer)
		writer.Close()
	}()
	output := bufio.NewReader(reader)
	address = readAddress(t, output)
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(output)
		rest <- string(text)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(clientTimeout):
			t.Fatal("the server does not stop")
		}
		if text := <-rest; !strings.HasSuffix(text, "respcache: stopped\n") {
			t.Errorf("the server said %q, want it to end with a line that it stopped", text)
		}
	})
	return address
}

// process is a server in a process of its own.
type process struct {
	address, port string
	command       *exec.Cmd
	output        *bufio.Reader // of the process, behind the first line
}

// startProcess starts a server on a free port. The test fails if SIGTERM does
// not end it with exit code 0.
func startProcess(t *testing.T, arguments ...string) *process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, append([]string{"-port", "0"}, arguments...)...)
	command.Env = append(os.Environ(), asServer+"=1")
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(stdout)
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(clientTimeout, func() { command.Process.Kill() })
		defer timer.Stop()
		io.Copy(io.Discard, output)
		if err := command.Wait(); err != nil {
			t.Errorf("the server ended with %v, want exit code 0 on SIGTERM", err)
		}
	})
	address := readAddress(t, output)
	return &process{address, address[strings.LastIndexByte(address, ':')+1:], command, output}
}

// residentBytes is the process's VmRSS.
func (p *process) residentBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.command.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmRSS in %q", text)
	return 0
}

func TestStopsWithOpenConnections(t *testing.T) {
	address := startInProcess(t)
	for range 10 {
		dial(t, address).do(t, "PING") // left open
	}
}

// TestStopsWithoutAReaderOfItsOutput closes the pipe behind stdout after the first
// line: the server serves on, and ends with exit code 0.
func TestStopsWithoutAReaderOfItsOutput(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "-port", "0")
	command.Env = append(os.Environ(), asServer+"=1")
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	address := readAddress(t, bufio.NewReader(stdout))
	stdout.Close()
	if got := dial(t, address).do(t, "PING").String(); got != "+PONG" {
		t.Errorf("PING after stdout was closed: got %s", got)
	}
	command.Process.Signal(syscall.SIGTERM)
	if err := command.Wait(); err != nil {
		t.Errorf("the server ended with %v, want exit code 0 on SIGTERM", err)
	}
}

func TestQuitDropsTheRestOfThePipeline(t *testing.T) {
	address := startInProcess(t)
	c := dial(t, address)
	c.send("SET", "before", "1")
	c.send("QUIT")
	c.send("SET", "after", "1")
	for _, want := range []string{"+OK", "+OK"} {
		if r, err := c.read(); err != nil || r.String() != want {
			t.Fatalf("got %s, %v; want %s", r, err, want)
		}
	}
	if r, err := c.read(); !errors.Is(err, io.EOF) {
		t.Fatalf("after QUIT: got %s, %v; want the end", r, err)
	}
	if r := dial(t, address).do(t, "EXISTS", "before", "after"); r.String() != ":1" {
		t.Errorf("EXISTS before after: got %s, want :1", r)
	}
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "100b": 100, "1k": 1000, "1kb": 1024,
		"64mb": 64 << 20, "64MB": 64 << 20, "3m": 3e6, "2gb": 2 << 30, "1G": 1e9,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q): got %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]int64{"0": 0, "16mb": 16 << 20, "50%": 500, "0%": 0, "100%": 1001, "33%": 330} {
		if got, err := parseShare(text, 1001); err != nil || got != want {
			t.Errorf("parseShare(%q, 1001): got %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "300": 5 * time.Minute, "1m30s": 90 * time.Second, "50ms": 50 * time.Millisecond} {
		if got, err := parseTimeout(text); err != nil || got != want {
			t.Errorf("parseTimeout(%q): got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, arguments := range [][]string{
		{"-timeout", "-1"}, {"-timeout", "soon"}, {"-timeout", "99999999999999999"}, {"-maxclients", "0"},
		{"-client-limit", "1kb"}, {"-client-limit", "0"}, {"-maxmemory-clients", "101%"}, {"-maxmemory-clients", "-1"},
		{"-maxmemory-clients", "%"}, {"-proto-max-bulk-len", "513mb"}, {"-proto-max-bulk-len", "0"},
		{"-proto-max-multibulk-len", "0"}, {"-proto-max-multibulk-len", "1048577"},
		{"-maxmemory", "lots"}, {"-maxmemory", "-1"}, {"-maxmemory", "1bm"}, {"-maxmemory", ""},
		{"-maxmemory", "9999999999gb"}, {"-maxmemory-samples", "0"}, {"-port", "65536"}, {"extra"}, {"-unknown"},
		{"-maxmemory", "1048575"}, {"-maxmemory", "1kb"}, {"-maxmemory-clients", "65535"}, {"-maxmemory", "1mb", "-maxmemory-clients", "6%"},
		{"-timeout", "999ms"}, {"-timeout", "1ns"}, {"-addr", "", "-port", "0"}, {"-addr", "256.0.0.1", "-port", "0"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := run(ctx, arguments, io.Discard, io.Discard); err == nil {
			t.Errorf("respcache %q started, want an error", arguments)
		}
	}
}

func TestHumanSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1.00K", 1536: "1.50K", 64 << 20: "64.00M", 3 << 30: "3.00G",
	} {
		if got := humanSize(bytes); got != want {
			t.Errorf("humanSize(%d): got %s, want %s", bytes, got, want)
		}
	}
}
