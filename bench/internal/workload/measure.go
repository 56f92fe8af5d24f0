package workload

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// Request is one measurement to be made. Zero times stand for the shape's own.
type Request struct {
	Shape      string
	Peer       string
	Seed       uint64
	Warm, Time time.Duration
}

// Measure runs the shape with the peer, once, in this process. It is meant to
// be all that the process does: the peak of resident memory is the process's.
func Measure(request Request) (result.Sample, error) {
	shape, err := ShapeByName(request.Shape)
	if err != nil {
		return result.Sample{}, err
	}
	peer, err := PeerByName(request.Peer)
	if err != nil {
		return result.Sample{}, err
	}
	settle()
	startBytes, _ := residentBytes()
	at, err := peer.open()
	if err != nil {
		return result.Sample{}, fmt.Errorf("peer %s: %w", peer.Name, err)
	}
	sample := shape.measure(at.loops, request)
	sample.Peer = peer.Name
	sample.StartBytes = startBytes
	sample.EndBytes, sample.PeakBytes = residentBytes()
	features := vcpu.Probe()
	sample.Mode, sample.ModeReason = features.Mode.String(), features.Reason
	if err := at.close(); err != nil {
		return result.Sample{}, fmt.Errorf("peer %s: %w", peer.Name, err)
	}
	return sample, nil
}

func (s Shape) measure(l loops, request Request) result.Sample {
	warm, measured := s.Warm, s.Time
	if request.Time > 0 {
		warm, measured = request.Warm, request.Time
	}
	stop := &atomic.Bool{}
	cpus := runtime.GOMAXPROCS(0)
	work := s.build(scene{loops: l, seed: request.Seed, cpus: cpus, stop: stop})
	m := &meter{}
	operations, elapsed := work.perform(stop, warm, measured, m)
	lanes := 1
	if s.Parallel {
		lanes = len(work.workers)
	}
	sample := result.Sample{
		Shape:          s.Name,
		CPUs:           cpus,
		Workers:        len(work.workers),
		Operations:     operations,
		ElapsedNS:      elapsed.Nanoseconds(),
		NSPerOperation: float64(elapsed.Nanoseconds()) * float64(lanes) / float64(max(operations, 1)),
	}
	m.report(&sample)
	return sample
}
