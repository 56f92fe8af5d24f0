package main

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnCPUs(t *testing.T) {
	count := func() int {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		return set.Count()
	}
	all, failure := count(), errors.New("failure")
	for _, want := range []int{1, all, 10 * all} {
		seen := 0
		err := onCPUs(want, func() error {
			seen = count()
			return failure
		})
		if seen != min(want, all) || !errors.Is(err, failure) {
			t.Errorf("on %d of %d CPUs: ran on %d, with error %v", want, all, seen, err)
		}
		if got := count(); got != all {
			t.Errorf("afterwards the thread is kept to %d of %d CPUs", got, all)
		}
	}
}
