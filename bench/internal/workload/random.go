package workload

// random is Marsaglia's xorshift64: the one source of randomness of every
// shape, in Go as on the native side.
//
// Invariant: state != 0.
type random struct{ state uint64 }

// newRandom returns the generator of one stream of a seed, apart from others'.
// Streams are spread by SplitMix64's mixer, so that neighbouring ones have nothing
// in common.
func newRandom(seed uint64, stream int) *random {
	z := seed + uint64(stream+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	if z == 0 {
		z = 0x9e3779b97f4a7c15
	}
	return apart(random{state: z})
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

// pick returns a number in [0, n) and one in [low, high], from the two halves
// of one draw.
func (r *random) pick(n, low, high int) (int, int) {
	x := r.next()
	return int(x >> 32 * uint64(uint32(n)) >> 32), low + int(uint64(uint32(x))*uint64(uint32(high-low+1))>>32)
}

// chance returns true in percent of 100 cases.
func (r *random) chance(percent int) bool { return r.below(100) < percent }

// uniform returns a number in [0, 1).
func (r *random) uniform() float64 { return float64(r.next()>>11) / (1 << 53) }
