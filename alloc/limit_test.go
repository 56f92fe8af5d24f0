package alloc

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// TestLimitReachesOtherVCPUs fills and frees up to the limit on one thread, which
// then keeps its CPU busy, and wants as much on another.
func TestLimitReachesOtherVCPUs(t *testing.T) {
	const limit = 512 << 10
	a := open(t, Options{Limit: limit})
	filled, stop, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var blocks [][]byte
		for len(blocks) < 2 {
			b, err := a.AllocUninit(limit / 2)
			if err != nil {
				t.Error(err)
				break
			}
			blocks = append(blocks, b)
		}
		a.FreeBatch(blocks)
		close(filled)
		for {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	<-filled
	for range 100 {
		b, err := a.AllocUninit(limit / 2)
		if err != nil {
			t.Error(err)
			break
		}
		a.Free(b)
	}
	close(stop)
	<-done
}

// TestWholeLimitDespiteOtherVCPUs leaves a few free blocks on two vCPUs, and wants the
// whole limit: a caller has only one of the two.
func TestWholeLimitDespiteOtherVCPUs(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one CPU is one vCPU")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
	const limit = 8 << 20
	a := open(t, Options{Limit: limit, ReleaseDelay: -1})
	var threads sync.WaitGroup
	stress.Until(t, func() error {
		if n := a.Stats().Arenas; n >= 2 {
			return nil
		}
		for range runtime.NumCPU() {
			threads.Go(func() {
				for range 1000 {
					if b, err := a.AllocUninit(64); err != nil {
						t.Error(err)
					} else {
						a.Free(b)
					}
				}
			})
		}
		threads.Wait()
		return errors.New("all threads have run on one vCPU")
	})
	if b, err := a.AllocUninit(limit); err != nil {
		t.Errorf("%v, while %d bytes are free in magazines", err, a.Stats().CachedVCPU)
	} else {
		a.Free(b)
	}
}
