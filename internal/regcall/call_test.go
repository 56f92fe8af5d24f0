//go:build amd64 || arm64

package regcall

import (
	"runtime"
	"testing"
	"unsafe"
)

// TestCallIsOf compares the two ways to the same code.
func TestCallIsOf(t *testing.T) {
	direct := Of[func(a unsafe.Pointer, b uintptr, c unsafe.Pointer, d uintptr) unsafe.Pointer](mixEntry())
	numbers := []uintptr{0, 1, 0x7fff, 1 << 31, ^uintptr(0) >> 1, ^uintptr(0)}
	var memory [2]uint64
	pointers := []unsafe.Pointer{nil, unsafe.Pointer(&memory[0]), unsafe.Pointer(&memory[1])}
	for _, a := range pointers {
		for _, b := range numbers {
			for _, c := range pointers {
				for _, d := range numbers {
					want, _, _, _ := mix(uintptr(a), b, uintptr(c), d)
					if got := uintptr(direct(a, b, c, d)); got != want {
						t.Fatalf("Of: mix(%p, %#x, %p, %#x) = %#x, want %#x", a, b, c, d, got, want)
					}
					if got := uintptr(Call(mixEntry(), a, b, c, d)); got != want {
						t.Fatalf("Call: mix(%p, %#x, %p, %#x) = %#x, want %#x", a, b, c, d, got, want)
					}
				}
			}
		}
	}
}

// TestOfWithFewerArguments uses types that the sections use.
func TestOfWithFewerArguments(t *testing.T) {
	// The registers of the arguments that are not given hold anything, so only
	// what does not depend on them can be compared.
	two := Of[func(a, b uintptr) uintptr](mixEntry())
	three := Of[func(a, b, c uintptr) uintptr](mixEntry())
	if low := two(1, 0) & 1; low != 1 {
		t.Errorf("mix(1, 0, ...) is even")
	}
	if low := two(0, 1) & 3; low != 2 {
		t.Errorf("mix(0, 1, ...) is %d modulo 4, want 2", low)
	}
	if low := three(0, 0, 1) & 7; low != 4 {
		t.Errorf("mix(0, 0, 1, ...) is %d modulo 8, want 4", low)
	}
}

// TestOfSurvivesCollections calls a func value that nothing else refers to.
func TestOfSurvivesCollections(t *testing.T) {
	direct := Of[func(a, b, c, d uintptr) uintptr](mixEntry())
	for i := range uintptr(20) {
		runtime.GC()
		want, _, _, _ := mix(i, i, i, i)
		if got := direct(i, i, i, i); got != want {
			t.Fatalf("after %d collections: %d, want %d", i, got, want)
		}
	}
}
