package procpin

import (
	"runtime"
	"testing"
)

func TestPinStaysOnP(t *testing.T) {
	for range 1000 {
		first := Pin()
		second := Pin()
		Unpin()
		Unpin()
		if first != second || first < 0 || first >= runtime.GOMAXPROCS(0) {
			t.Fatalf("P %d, then %d, of %d", first, second, runtime.GOMAXPROCS(0))
		}
	}
}

func TestFindPlace(t *testing.T) {
	place, ok := FindPlace()
	if want := runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"; ok != want {
		t.Fatalf("found: %v on %s with %s", ok, runtime.GOARCH, runtime.Version())
	}
	t.Logf("m.p is at offset %d in %s", place.M, runtime.Version())
}
