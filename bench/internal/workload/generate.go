//go:build ignore

// Generate writes zloops.go and zloops_test.go anew.
package main

import (
	"log"

	"github.com/vcpualloc/vcpualloc/bench/internal/specialise"
)

func main() {
	if err := specialise.Write("."); err != nil {
		log.Fatal(err)
	}
}
