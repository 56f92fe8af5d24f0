package stress

import (
	"context"
	"testing"
	"time"
)

// deadlineReserve is how long before the timeout of go test a wait ends, so that the
// failure says what the test waited for.
const deadlineReserve = 5 * time.Second

// Context returns a context that ends with the test, or shortly before go test would
// end the process. It bounds programs that a test starts: a test must not fail because
// the machine is slow, so nothing else has a time limit.
func Context(t testing.TB) context.Context {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return t.Context()
	}
	deadline, limited := d.Deadline()
	if !limited {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-min(deadlineReserve, time.Until(deadline)/2)))
	t.Cleanup(cancel)
	return ctx
}

// Until polls condition until it returns nil, with the time limit of Context: when
// that is up, the test fails with the last error.
func Until(t testing.TB, condition func() error) {
	t.Helper()
	ctx := Context(t)
	const longestPause = 10 * time.Millisecond
	for pause := 10 * time.Microsecond; ; pause = min(2*pause, longestPause) {
		err := condition()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("still waiting when the time of go test is up: %v", err)
		}
		time.Sleep(pause)
	}
}
