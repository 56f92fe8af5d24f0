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

	offHeap bool // of the peer
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
	if !peer.Serves(shape) {
		return result.Sample{}, fmt.Errorf("peer %s does not do the shape %s", peer.Name, shape.Name)
	}
	settle()
	startBytes, _ := residentBytes()
	at, err := peer.open(shape)
	if err != nil {
		return result.Sample{}, fmt.Errorf("peer %s: %w", peer.Name, err)
	}
	request.offHeap = peer.offHeap
	sample, after := shape.measure(at.loops, request)
	if damaged := after.damaged(); damaged != 0 && peer.Name != Empty {
		return result.Sample{}, fmt.Errorf("peer %s: %d words of blocks in use were changed by somebody else", peer.Name, damaged)
	}
	sample.Peer = peer.Name
	sample.StartBytes = startBytes
	sample.EndBytes, sample.PeakBytes = residentBytes()
	if ours, ok := at.loops.(interface{ arenas() int64 }); ok {
		sample.Arenas = ours.arenas()
	}
	features := vcpu.Probe()
	sample.Mode, sample.ModeReason = features.Mode.String(), features.Reason
	if err := at.close(after.leaks); err != nil {
		return result.Sample{}, fmt.Errorf("peer %s: %w", peer.Name, err)
	}
	return sample, nil
}

// measure also returns the plan that it has done.
func (s Shape) measure(l loops, request Request) (result.Sample, *plan) {
	at := scene{
		loops: l, seed: request.Seed, cpus: runtime.GOMAXPROCS(0), stop: &atomic.Bool{},
		warm: s.Warm, time: s.Time, own: s.Time, offHeap: request.offHeap,
	}
	if request.Time > 0 {
		at.warm, at.time = request.Warm, request.Time
	}
	work := s.build(at)
	m := &meter{}
	operations, elapsed := work.perform(at, m)
	lanes := 1
	if s.Parallel {
		lanes = min(len(work.workers), at.cpus, runtime.NumCPU())
	}
	sample := result.Sample{
		Shape:          s.Name,
		CPUs:           at.cpus,
		Workers:        len(work.workers),
		Operations:     operations,
		ElapsedNS:      elapsed.Nanoseconds(),
		NSPerOperation: float64(elapsed.Nanoseconds()) * float64(lanes) / float64(max(operations, 1)),
	}
	m.report(&sample)
	return sample, &work
}
