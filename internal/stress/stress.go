// Package stress makes the conditions under which a wrong section shows: more
// threads than CPUs, garbage collections and profiling signals all the time. It knows
// the kernels on which none can be right.
package stress

import (
	"flag"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"
)

var duration = flag.Duration("stress", 2*time.Second, "how long each stress test runs")

// Duration returns how long a stress test is to run: the flag -stress, and a quarter
// of it in go test's short mode. A longer run tries more; none is judged by how much.
func Duration() time.Duration {
	if testing.Short() {
		return *duration / 4
	}
	return *duration
}

// storms is how many Ps a storm sets, whatever the machine has.
const storms = 16

// Storm begins a storm and ends it with the test: GOMAXPROCS is 16, the garbage
// collector runs every millisecond, and the CPU profiler interrupts.
func Storm(t testing.TB) {
	procs := runtime.GOMAXPROCS(storms)
	// Fails under "go test -cpuprofile", which profiles by itself.
	if err := pprof.StartCPUProfile(io.Discard); err == nil {
		t.Cleanup(pprof.StopCPUProfile)
	}
	percent := debug.SetGCPercent(-1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.GC()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(procs)
	})
}
