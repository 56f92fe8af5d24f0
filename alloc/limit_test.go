package alloc

import (
	"runtime"
	"testing"
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
