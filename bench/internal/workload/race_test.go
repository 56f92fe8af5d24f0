//go:build race

package workload

// raceDetector says that every memory access is watched, which the harness's
// cost is not measured under.
const raceDetector = true
