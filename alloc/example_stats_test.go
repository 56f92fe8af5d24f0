package alloc_test

import (
	"fmt"
	"strings"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// Where the memory is, by names that stay; fmt.Print(s) prints all for a person.
func ExampleStats() {
	a, err := alloc.New(alloc.Options{Name: "server", Limit: 64 << 20})
	if err != nil {
		panic(err)
	}
	defer a.Close()
	if _, err := a.Alloc(1 << 20); err != nil {
		panic(err)
	}
	s := a.Stats()
	for name, value := range s.Figures() {
		if strings.HasPrefix(name, "/memory/l") {
			fmt.Println(name, value)
		}
	}
	for b := range a.Budgets() {
		fmt.Println(b.Name, b.Charged, b.Limit)
	}
	// Output:
	// /memory/limit:bytes 67108864
	// /memory/live:bytes 1048576
	// /memory/live/rounding-most:bytes 8191
	// server 1048576 67108864
}

// Go's memory and that of all allocators, within what the cgroup of the process or
// GOMEMLIMIT allows.
func ExampleBalanceMemoryLimit() {
	stop, err := alloc.BalanceMemoryLimit(0)
	if err != nil {
		return // there is no limit to keep, and err says where it was looked for
	}
	defer stop()
}
