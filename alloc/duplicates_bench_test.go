package alloc

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// BenchmarkFreeBatch allocates and frees batches whose addresses rise, and batches in
// no order; the time is that of a batch.
func BenchmarkFreeBatch(b *testing.B) {
	for _, count := range []int{8, 64, 1000} {
		for _, order := range []string{"rising", "random"} {
			b.Run(fmt.Sprintf("order=%s/count=%d", order, count), func(b *testing.B) {
				a := open(b, Options{})
				random := steady.Random(b)
				batch := make([][]byte, count)
				shuffle := random.Perm(count)
				mixed := make([][]byte, count)
				for i := range batch {
					batch[i] = must(b)(a.AllocUninit(64))
				}
				slices.SortFunc(batch, func(x, y []byte) int { return int(addressOf(x)) - int(addressOf(y)) })
				for i := range batch {
					mixed[i] = batch[shuffle[i]]
				}
				if order == "random" {
					batch = mixed
				}
				for b.Loop() {
					a.FreeBatch(batch)
					if n, err := a.AllocBatchUninit(batch, 64); n < count {
						b.Fatal(err)
					}
				}
				a.FreeBatch(batch)
			})
		}
	}
}
