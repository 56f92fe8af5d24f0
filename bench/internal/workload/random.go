package workload

// random is Marsaglia's xorshift64: the one source of randomness of every
// shape, in Go as on the native side.
//
// Invariant: state != 0.
type random struct{ state uint64 }

// newRandom returns the generator of one stream of a seed. Streams are spread
// by SplitMix64's mixer, so that neighbouring ones have nothing in common.
func newRandom(seed uint64, stream int) random {
	z := seed + uint64(stream+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	if z == 0 {
		z = 0x9e3779b97f4a7c15
	}
	return random{state: z}
}

func (r *random) next() uint64 {
	x := r.state
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	r.state = x
	return x
}

// below returns a number in [0, n), by a multiplication: a division would cost
// more than some of the allocators measured.
func (r *random) below(n int) int {
	return int(r.next() >> 32 * uint64(uint32(n)) >> 32)
}

// between returns a number in [low, high].
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }
