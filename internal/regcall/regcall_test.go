package regcall

import (
	"runtime"
	"testing"
	"unsafe"
)

func TestWorks(t *testing.T) {
	if want := runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"; Works() != want {
		t.Errorf("Works() = %v on %s/%s with %s, want %v: the sections go through Call", Works(), runtime.GOOS, runtime.GOARCH, runtime.Version(), want)
	}
}

// permutations returns every order of 0 to 3, the identity first.
func permutations() (all [][4]int) {
	for code := range 256 {
		order := [4]int{code >> 6 & 3, code >> 4 & 3, code >> 2 & 3, code & 3}
		seen := 0
		for _, at := range order {
			seen |= 1 << at
		}
		if seen == 0b1111 {
			all = append(all, order)
		}
	}
	return all
}

// TestOtherConventionsAreSeen calls mix as a toolchain with other registers would.
func TestOtherConventionsAreSeen(t *testing.T) {
	orders := permutations()
	if len(orders) != 24 {
		t.Fatalf("%d permutations", len(orders))
	}
	for i, order := range orders {
		permuted := func(a, b, c, d uintptr) uintptr {
			in := [4]uintptr{a, b, c, d}
			return mix(in[order[0]], in[order[1]], in[order[2]], in[order[3]])
		}
		if want := i == 0; agrees(permuted) != want {
			t.Errorf("arguments in the order %v: agrees is %v", order, !want)
		}
	}
	for name, call := range map[string]func(a, b, c, d uintptr) uintptr{
		"first argument lost":   func(_, b, c, d uintptr) uintptr { return mix(0, b, c, d) },
		"second argument lost":  func(a, _, c, d uintptr) uintptr { return mix(a, 0, c, d) },
		"third argument lost":   func(a, b, _, d uintptr) uintptr { return mix(a, b, 0, d) },
		"fourth argument lost":  func(a, b, c, _ uintptr) uintptr { return mix(a, b, c, 0) },
		"upper half lost":       func(a, b, c, d uintptr) uintptr { return uintptr(uint32(mix(a, b, c, d))) },
		"result is an argument": func(a, _, _, _ uintptr) uintptr { return a },
		"result is zero":        func(_, _, _, _ uintptr) uintptr { return 0 },
	} {
		if agrees(call) {
			t.Errorf("%s: agrees", name)
		}
	}
}

// TestCallIsOf compares the two ways to the same code.
func TestCallIsOf(t *testing.T) {
	if !supported {
		t.Logf("no assembly on %s", runtime.GOARCH)
		return
	}
	direct := Of[func(a unsafe.Pointer, b uintptr, c unsafe.Pointer, d uintptr) unsafe.Pointer](mixEntry())
	numbers := []uintptr{0, 1, 0x7fff, 1 << 31, ^uintptr(0) >> 1, ^uintptr(0)}
	var memory [2]uint64
	pointers := []unsafe.Pointer{nil, unsafe.Pointer(&memory[0]), unsafe.Pointer(&memory[1])}
	for _, a := range pointers {
		for _, b := range numbers {
			for _, c := range pointers {
				for _, d := range numbers {
					want := mix(uintptr(a), b, uintptr(c), d)
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
	if !supported {
		t.Logf("no assembly on %s", runtime.GOARCH)
		return
	}
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
	if !supported {
		t.Logf("no assembly on %s", runtime.GOARCH)
		return
	}
	direct := Of[func(a, b, c, d uintptr) uintptr](mixEntry())
	for i := range uintptr(20) {
		runtime.GC()
		if got, want := direct(i, i, i, i), mix(i, i, i, i); got != want {
			t.Fatalf("after %d collections: %d, want %d", i, got, want)
		}
	}
}
