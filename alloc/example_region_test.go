package alloc_test

import (
	"fmt"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// A request's memory in one region: nothing is freed by itself, and all of it at
// once, for the next request to use again.
func ExampleRegion() {
	region := alloc.NewRegion(alloc.Default(), alloc.RegionOptions{})
	defer region.Release()
	for _, name := range []string{"first", "second"} {
		line, err := region.Bytes(0)
		if err != nil {
			panic(err)
		}
		line, err = alloc.RegionAppend(region, line, []byte("the "+name+" request")...)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
		region.Reset()
	}
	// Output:
	// the first request
	// the second request
}

func ExampleRegionNew() {
	type point struct{ X, Y float64 }
	region := alloc.NewRegion(alloc.Default(), alloc.RegionOptions{})
	defer region.Release()
	p, err := alloc.RegionNew[point](region)
	if err != nil {
		panic(err)
	}
	p.X = 1
	fmt.Println(*p)
	// Output: {1 0}
}

// What one step needs for itself is gone after it.
func ExampleRegion_Rewind() {
	region := alloc.NewRegion(alloc.Default(), alloc.RegionOptions{})
	defer region.Release()
	result, err := region.String("result")
	if err != nil {
		panic(err)
	}
	mark := region.Mark()
	for range 1000 {
		if _, err := region.Bytes(10_000); err != nil {
			panic(err)
		}
		region.Rewind(mark)
	}
	fmt.Println(result, alloc.Default().Stats().Live < 1<<20)
	// Output: result true
}
