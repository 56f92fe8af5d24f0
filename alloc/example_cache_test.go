package alloc_test

import (
	"fmt"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// Objects that are costly to set up keep their state between Put and Get.
func ExampleCache() {
	type session struct {
		Key   [32]byte
		Count int
	}
	cache, err := alloc.NewCache(alloc.Default(), alloc.CacheOptions[session]{
		New: func(s *session) error {
			s.Key[0] = 42
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	defer cache.Close()
	s, err := cache.Get()
	if err != nil {
		panic(err)
	}
	s.Count++
	fmt.Println(s.Key[0], s.Count)
	s.Count = 0 // as New left it
	cache.Put(s)
	fmt.Println(cache.Stats().Built)
	// Output:
	// 42 1
	// 1
}
