package workload

// apartBytes is how far from another worker's memory a worker's own lies: a pair
// of cache lines, which processors fetch together, as on the native side.
const apartBytes = 128

// apart returns a copy of v that shares no cache line with anything else. What a
// worker writes in every operation must be apart: else two workers wait for each
// other's writes, in some runs and not in others, as the memory happens to lie.
func apart[T any](v T) *T {
	padded := &struct {
		_     [apartBytes]byte
		value T
		_     [apartBytes]byte
	}{value: v}
	return &padded.value
}
