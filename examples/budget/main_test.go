package main

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	stress.Until(t, func() error {
		if !condition() {
			return errors.New(what)
		}
		return nil
	})
}

// TestGreedyAlone sees greedy refused, and it alone, while the others go on.
func TestGreedyAlone(t *testing.T) {
	const limit = 16 << 20
	s, err := newServer(limit)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.work(ctx)
	}()
	until(t, "greedy is refused, the cache gives way", func() bool { return s.greedy.refused.Load() > 10 && s.cache.evicted.Load() > 0 })
	steady, queue, cache, greedy := s.steady.served.Load(), s.queue.served.Load(), s.cache.served.Load(), s.greedy.served.Load()
	until(t, "the others go on", func() bool {
		if charged := s.memory.Stats().Charged; charged > limit {
			t.Fatalf("%d bytes, above the limit of %d", charged, limit)
		}
		return s.steady.served.Load() > steady+100 && s.queue.served.Load() > queue+100 && s.cache.served.Load() > cache+100
	})
	cancel()
	<-done
	var over *alloc.LimitError
	if err := s.greedy.lastError(); !errors.As(err, &over) || over.Name != "server/greedy" || over.Limit != limit/4 {
		t.Errorf("greedy: %v", err)
	}
	if s.steady.refused.Load() != 0 || s.queue.refused.Load() != 0 {
		t.Errorf("refused: steady %v, queue %v", s.steady.lastError(), s.queue.lastError())
	}
	if got := s.greedy.served.Load(); got != greedy || got*greedyBlock > limit/4 {
		t.Errorf("greedy got %d blocks, %d when it was refused first", got, greedy)
	}
	if text := s.report(); !strings.Contains(text, "\ngreedy was refused: alloc: ") || !strings.Contains(text, "limit of server/greedy reached") {
		t.Errorf("the report does not tell who was refused:\n%s", text)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// TestReport runs the program, within a total.
func TestReport(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	var text strings.Builder
	if err := run(t.Context(), []string{"-limit", "16mib", "-total", "4gib", "-time", "300ms"}, &text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"\n  server: ", "\n    server/queue: ", "of 2.0 MiB", "server/cache: ", "page heap"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is missing", part)
		}
	}
	if strings.Contains(text.String(), "steady was refused") {
		t.Error("steady was refused")
	}
	if after := debug.SetMemoryLimit(-1); after != before {
		t.Errorf("Go's limit is %d, before %d", after, before)
	}
	if t.Failed() {
		t.Log(text.String())
	}
}

func TestOptions(t *testing.T) {
	for _, line := range []string{"-limit 1mib", "-limit much", "-total 2tib", "-total x", "more", "-none"} {
		if err := run(t.Context(), strings.Fields(line), io.Discard); err == nil {
			t.Errorf("%s is accepted", line)
		}
	}
	if err := run(t.Context(), []string{"-total", "1mib"}, io.Discard); err == nil || !strings.Contains(err.Error(), "at least 8.0 MiB") {
		t.Errorf("a total of 1 MiB: %v", err)
	}
}
