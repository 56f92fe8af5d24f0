// Package steady makes the conditions under which a test does the same again:
// random numbers from a seed that a failure tells, and a thread that stays on
// one vCPU.
package steady

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// seedVariable is the environment variable that repeats a failed test.
const seedVariable = "VCPUALLOC_SEED"

// Random returns random numbers from a new seed, or from the one in the
// environment. If the test fails it logs how to repeat it.
func Random(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q: %v", seedVariable, text, err)
		}
		seed = given
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with %s=%d in the environment", seedVariable, seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}
