package workload

import (
	"math"
	"testing"
	"time"
)

// TestHarnessCost holds the harness to its promise of HarnessLimit. Others may
// use the CPUs, so the best of several short runs counts, and in each of them
// the CPU time if it is less than the time that went by.
func TestHarnessCost(t *testing.T) {
	if raceDetector {
		return // it is the detector's cost then
	}
	const runs = 60
	at, err := openEmpty(Shape{})
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range Shapes() {
		if shape.HarnessLimit >= touching {
			continue
		}
		length := shape.Time / 80
		if shape.GoOnly {
			length = shape.Time / 4 // there are many goroutines to start
		}
		best := math.Inf(1)
		for run := 0; run < runs && best >= shape.HarnessLimit; run++ {
			sample, _ := shape.measure(at.loops, Request{Seed: 1, Warm: time.Millisecond, Time: length})
			if sample.CPUPerOperation > 0 && sample.Operations > 0 {
				best = min(best, sample.NSPerOperation, sample.CPUPerOperation)
			}
		}
		t.Logf("%s: %.2f ns, limit %.0f", shape.Name, best, shape.HarnessLimit)
		if best >= shape.HarnessLimit {
			t.Errorf("%s: the harness costs %.2f ns an operation in the best of %d runs, limit %.0f", shape.Name, best, runs, shape.HarnessLimit)
		}
	}
}
