//go:build linux && (amd64 || arm64)

package main

import (
	"testing"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// TestFillUp fills an allocator up to a limit and empties it, and spoils a block,
// which must be noticed.
func TestFillUp(t *testing.T) {
	a, err := alloc.New(alloc.Options{Limit: 4 << 20, Reserve: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	blocks, err := fillUp(a, blockSize)
	if err == nil || len(blocks) < 70 {
		t.Errorf("%d blocks: %v", len(blocks), err)
	}
	if err := emptyAgain(a, blocks); err != nil {
		t.Error(err)
	}
	blocks, _ = fillUp(a, blockSize)
	blocks[7][4096]++
	if emptyAgain(a, blocks) == nil {
		t.Error("a block that was spoiled is not noticed")
	}
}
