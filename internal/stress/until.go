package stress

import (
	"testing"
	"time"
)

// deadlineReserve is how long before the timeout of go test Until gives up, so that
// the failure says what the test waited for.
const deadlineReserve = 5 * time.Second

// Until polls condition until it returns nil. It has no time limit of its own: a test
// must not fail because the machine is slow. Only the timeout of go test bounds it;
// shortly before that, the test fails with the last error.
func Until(t testing.TB, condition func() error) {
	t.Helper()
	var end time.Time
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, limited := d.Deadline(); limited {
			end = deadline.Add(-min(deadlineReserve, time.Until(deadline)/2))
		}
	}
	const longestPause = 10 * time.Millisecond
	for pause := 10 * time.Microsecond; ; pause = min(2*pause, longestPause) {
		err := condition()
		if err == nil {
			return
		}
		if !end.IsZero() && time.Now().After(end) {
			t.Fatalf("still waiting when the time of go test is up: %v", err)
		}
		time.Sleep(pause)
	}
}
