package steady

import (
	"testing"

	"golang.org/x/sys/unix"
)

// pinToOneCPU pins the running thread to a CPU that it may use, and returns how
// to undo it.
func pinToOneCPU(t testing.TB) (restore func()) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
	}
}
