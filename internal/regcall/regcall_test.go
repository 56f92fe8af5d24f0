package regcall

import (
	"errors"
	"math/bits"
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
		arguments := func(a, b, c, d uintptr) (mixed, _, _, _ uintptr) {
			in := [4]uintptr{a, b, c, d}
			mixed, _, _, _ = mix(in[order[0]], in[order[1]], in[order[2]], in[order[3]])
			return mixed, b, c, d
		}
		if want := i == 0; agrees(arguments) != want {
			t.Errorf("arguments in the order %v: agrees is %v", order, !want)
		}
		results := func(a, b, c, d uintptr) (mixed, _, _, _ uintptr) {
			mixed, b, c, d = mix(a, b, c, d)
			out := [4]uintptr{mixed, b, c, d}
			return out[order[0]], out[order[1]], out[order[2]], out[order[3]]
		}
		if want := i == 0; agrees(results) != want {
			t.Errorf("results in the order %v: agrees is %v", order, !want)
		}
	}
	for name, call := range map[string]mixFunc{
		"first argument lost":    func(_, b, c, d uintptr) (_, _, _, _ uintptr) { return mix(0, b, c, d) },
		"second argument lost":   func(a, _, c, d uintptr) (_, _, _, _ uintptr) { return mix(a, 0, c, d) },
		"third argument lost":    func(a, b, _, d uintptr) (_, _, _, _ uintptr) { return mix(a, b, 0, d) },
		"fourth argument lost":   func(a, b, c, _ uintptr) (_, _, _, _ uintptr) { return mix(a, b, c, 0) },
		"result is an argument":  func(a, b, c, d uintptr) (_, _, _, _ uintptr) { return a, b, c, d },
		"results are zero":       func(a, b, c, d uintptr) (mixed, _, _, _ uintptr) { return 0, 0, 0, 0 },
		"upper half of one lost": func(a, b, c, d uintptr) (_, _, _, _ uintptr) { return mix(a, b, c&(1<<(bits.UintSize/2)-1), d) },
	} {
		if agrees(call) {
			t.Errorf("%s: agrees", name)
		}
	}
}

// TestOtherShapesAreSeen calls as a toolchain would that cuts slices, errors or
// func values in another way.
func TestOtherShapesAreSeen(t *testing.T) {
	for name, call := range map[string]sliceFunc{
		"capacity before length": func(a uintptr, s []byte) (uintptr, unsafe.Pointer, uintptr, uintptr) {
			mixed, _, _, _ := mix(a, uintptr(unsafe.Pointer(unsafe.SliceData(s))), uintptr(cap(s)), uintptr(len(s)))
			return mixed, unsafe.Pointer(unsafe.SliceData(s)), uintptr(len(s)), uintptr(cap(s))
		},
		"slice by reference": func(a uintptr, s []byte) (uintptr, unsafe.Pointer, uintptr, uintptr) {
			mixed, _, _, _ := mix(a, uintptr(unsafe.Pointer(&s)), 0, 0)
			return mixed, unsafe.Pointer(&s), 0, 0
		},
	} {
		if takesSlices(call) {
			t.Errorf("%s: takesSlices", name)
		}
	}
	for name, call := range map[string]blockFunc{
		"capacity before length": func(p unsafe.Pointer, length, capacity, _, _ uintptr) ([]byte, error) {
			return unsafe.Slice((*byte)(p), capacity)[:capacity:capacity], nil
		},
		"error is not nil": func(p unsafe.Pointer, length, capacity, _, _ uintptr) ([]byte, error) {
			return unsafe.Slice((*byte)(p), capacity)[:length], errors.New("not nil")
		},
		"slice is nil": func(unsafe.Pointer, uintptr, uintptr, uintptr, uintptr) ([]byte, error) { return nil, nil },
	} {
		if givesSlices(call) {
			t.Errorf("%s: givesSlices", name)
		}
	}
	if hasContext(func() unsafe.Pointer { return nil }) {
		t.Error("no context: hasContext")
	}
}
