package regcall

import (
	"runtime"
	"testing"
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
