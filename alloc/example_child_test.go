package alloc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// Two tenants share 8 MiB, of which one may have 2.
func ExampleAllocator_Child() {
	server, err := alloc.New(alloc.Options{Name: "server", Limit: 8 << 20})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	small, err := server.Child(alloc.Options{Name: "small", Limit: 2 << 20})
	if err != nil {
		panic(err)
	}
	defer small.Close() // frees all that the tenant has left
	large, err := server.Child(alloc.Options{Name: "large"})
	if err != nil {
		panic(err)
	}
	defer large.Close()

	_, err = small.Alloc(3 << 20)
	var limit *alloc.LimitError
	if errors.As(err, &limit) {
		fmt.Printf("%s may have %d MiB\n", limit.Name, limit.Limit>>20)
	}
	if _, err = large.Alloc(7 << 20); err != nil {
		panic(err)
	}
	fmt.Printf("all together: %d MiB\n", server.Stats().Charged>>20)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = small.AllocWait(ctx, 2<<20) // the other one would have to free something
	fmt.Println(errors.Is(err, alloc.ErrLimit), errors.Is(err, context.DeadlineExceeded))
	// Output:
	// server/small may have 2 MiB
	// all together: 7 MiB
	// true true
}
