package workload

import (
	"slices"
	"testing"
	"unsafe"
)

func TestApart(t *testing.T) {
	kept := []*byte{}
	for i := range 1000 {
		kept = append(kept, apart(byte(i)))
	}
	slices.SortFunc(kept, func(a, b *byte) int {
		return int(uintptr(unsafe.Pointer(a))) - int(uintptr(unsafe.Pointer(b)))
	})
	for i, p := range kept[1:] {
		if distance := uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(kept[i])); distance < apartBytes {
			t.Fatalf("two values are %d bytes apart, want at least %d", distance, apartBytes)
		}
	}
}
