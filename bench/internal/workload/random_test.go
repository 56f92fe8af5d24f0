package workload

import "testing"

func TestRandomIsDeterministic(t *testing.T) {
	r := random{state: 1}
	for i, want := range []uint64{0x40822041, 0x100041060c011441, 0x9b1e842f6e862629} {
		if got := r.next(); got != want {
			t.Errorf("xorshift64 from 1, number %d: got %#x, want %#x", i, got, want)
		}
	}
	one, same, other := newRandom(7, 3), newRandom(7, 3), newRandom(7, 4)
	if *one != *same {
		t.Errorf("seed 7, stream 3 gave two states, %#x and %#x", one.state, same.state)
	}
	if *one == *other {
		t.Errorf("streams 3 and 4 of seed 7 have the same state %#x", one.state)
	}
}

func TestRandomStaysInRange(t *testing.T) {
	const low, high, rounds = 16, 1024, 100_000
	r := newRandom(1, 0)
	sum, lowest, highest := 0, high, low
	for range rounds {
		n := r.between(low, high)
		sum, lowest, highest = sum+n, min(lowest, n), max(highest, n)
	}
	if lowest != low || highest != high {
		t.Errorf("seed 1: %d numbers lie in [%d, %d], want all of [%d, %d]", rounds, lowest, highest, low, high)
	}
	if mean := sum / rounds; mean < 510 || mean > 530 {
		t.Errorf("seed 1: mean of %d numbers is %d, want about %d", rounds, mean, (low+high)/2)
	}
}
