package workload

import (
	"math"
	"testing"
	"time"
)

// BenchmarkHarnessCost holds the harness to its promise of HarnessLimit. It belongs on
// a quiet machine: "make harness". The best of several short runs counts, and in each
// of them the CPU time if it is less than the time that went by.
func BenchmarkHarnessCost(b *testing.B) {
	if raceDetector {
		b.Skip("it would be the race detector's cost")
	}
	const runs = 60
	at, err := openEmpty(Shape{})
	if err != nil {
		b.Fatal(err)
	}
	for _, shape := range Shapes() {
		if shape.HarnessLimit >= touching {
			continue
		}
		length := shape.Time / 80
		if shape.GoOnly {
			length = shape.Time / 4 // there are many goroutines to start
		}
		b.Run("shape="+shape.Name, func(b *testing.B) {
			best := math.Inf(1)
			for run := 0; run < runs && best >= shape.HarnessLimit; run++ {
				sample, _ := shape.measure(at.loops, Request{Seed: 1, Warm: time.Millisecond, Time: length})
				if sample.CPUPerOperation > 0 && sample.Operations > 0 {
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
