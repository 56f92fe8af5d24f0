package alloc

import (
	"math/bits"
	"testing"

	"github.com/vcpualloc/vcpualloc/arena"
)

// TestDefaultReserveIsAsDocumented compares the default reservation with what the
// comment of Options.Reserve promises.
func TestDefaultReserveIsAsDocumented(t *testing.T) {
	if addressSpace() > 0 || dataSpace() > 0 || bits.UintSize == 32 {
		t.Skip("the address space of this process is bounded")
	}
	const least = 16 << 30
	memory := machineMemory()
	reserve := open(t, Options{}).defaultReserve() / int64(arena.Parts())
	if reserve < least || reserve < min(4*memory, arena.MaxReserve) || reserve > least && reserve >= 8*memory || bits.OnesCount64(uint64(reserve)) != 1 {
		t.Errorf("%d bytes for a machine with %d", reserve, memory)
	}
}
