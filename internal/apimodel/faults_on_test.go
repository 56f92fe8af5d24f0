//go:build vcpualloc_faults && !vcpualloc_gomem

package apimodel

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
)

// faultsOp makes one in some calls of the system fail from now on, or none.
func (w *world) faultsOp(o op) { w.setFaults([]uint64{0, 1, 2, 3, 10, 100}[o.m%6]) }

// setFaults makes one in so many calls of the system fail; 0 is none.
func (w *world) setFaults(oneIn uint64) {
	if oneIn == 0 {
		fault.Set(nil)
		w.faulty = false
		return
	}
	w.faulty, w.failing = true, true
	var calls atomic.Uint64
	fault.Set(func(call string) error {
		switch {
		case calls.Add(1)*0x9e3779b97f4a7c15>>32%oneIn != 0:
			return nil
		case call == "madvise":
			return unix.EAGAIN
		default:
			return unix.ENOMEM
		}
	})
}
