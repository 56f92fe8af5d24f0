package alloc

import (
	"errors"
	"strings"
	"testing"
	"unsafe"
)

type plain struct {
	Number  int64
	Numbers [5]uint16
	Inner   struct{ A, B float64 }
	Empty   [0]*int // of no element
}

type list struct {
	Next *list
}

// TestPointers names the field that a type is refused for.
func TestPointers(t *testing.T) {
	a := open(t, Options{})
	for _, test := range []struct {
		want string
		call func() error
	}{
		{"alloc.list.Next", func() error { _, err := NewOf[list](a); return err }},
		{"string", func() error { _, err := NewOf[string](a); return err }},
		{".B.C[0]", func() error { _, err := NewOf[struct{ B struct{ C [2]string } }](a); return err }},
		{".M is a map", func() error {
			_, err := MakeSlice[struct {
				N int
				M map[int]int
			}](a, 1, 1)
			return err
		}},
		{"slice", func() error { _, err := MakeSlice[[]byte](a, 0, 0); return err }},
		{".F is a func", func() error { _, err := NewOf[struct{ F func() }](a); return err }},
		{".I is a interface", func() error { _, err := NewOf[struct{ I any }](a); return err }},
		{".C is a chan", func() error { _, err := NewOf[struct{ C chan int }](a); return err }},
		{".P is a unsafe.Pointer", func() error { _, err := NewOf[struct{ P unsafe.Pointer }](a); return err }},
	} {
		for range 2 { // the second answer is a remembered one
			if err := test.call(); !errors.Is(err, ErrPointers) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		}
	}
	checkQuiet(t, a, 0)
}

// TestNewOf gets zero memory, over and over.
func TestNewOf(t *testing.T) {
	a := open(t, Options{})
	size := GoodSize(int(unsafe.Sizeof(plain{})))
	for range 300 {
		p, err := NewOf[plain](a)
		if err != nil {
			t.Fatal(err)
		}
		if *p != (plain{}) || uintptr(unsafe.Pointer(p))%unsafe.Alignof(plain{}) != 0 {
			t.Fatalf("%+v at %p", *p, p)
		}
		p.Number, p.Inner.B, p.Numbers[4] = -1, 1, 1
		checkLive(t, a, size)
		FreeOf(a, p)
	}
	p, err := NewOf[[400_000]byte](a)
	if err != nil {
		t.Fatal(err)
	}
	checkQuiet(t, a, GoodSize(400_000))
	FreeOf(a, p)
	FreeOf[plain](a, nil)
	checkQuiet(t, a, 0)
	foreign := new(plain)
	mustMisuse(t, a, MisuseError{Op: "Free", Addr: uintptr(unsafe.Pointer(foreign))}, func() { FreeOf(a, foreign) })
}

// TestZeroSize uses types without any bytes.
func TestZeroSize(t *testing.T) {
	a := open(t, Options{})
	p, err := NewOf[struct{}](a)
	if err != nil || p == nil {
		t.Errorf("%p, %v", p, err)
	}
	FreeOf(a, p)
	b := must(t)(a.Alloc(8))
	FreeOf(a, (*struct{})(unsafe.Pointer(unsafe.SliceData(b)))) // it is no block, wherever it lies
	checkQuiet(t, a, GoodSize(8))
	a.Free(b)
	s, err := MakeSlice[[0]int](a, 3, 5)
	if err != nil || len(s) != 3 || cap(s) < 5 {
		t.Errorf("length %d, capacity %d, %v", len(s), cap(s), err)
	}
	FreeSlice(a, s)
	empty, err := MakeSlice[int](a, 0, 0)
	if err != nil || empty == nil || len(empty) != 0 {
		t.Errorf("%v, %v", empty, err)
	}
	FreeSlice(a, empty)
	FreeSlice[int](a, nil)
	checkQuiet(t, a, 0)
}

// TestMakeSlice checks length, capacity, content and that append stays.
func TestMakeSlice(t *testing.T) {
	a := open(t, Options{})
	for _, test := range []struct{ length, limit int }{{0, 1}, {1, 1}, {3, 10}, {1000, 1000}, {0, 50_000}} {
		s, err := MakeSlice[plain](a, test.length, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		size := int(unsafe.Sizeof(plain{}))
		if len(s) != test.length || cap(s) != GoodSize(test.limit*size)/size || cap(s) < test.limit {
			t.Errorf("%+v: length %d, capacity %d", test, len(s), cap(s))
		}
		first := unsafe.SliceData(s)
		for i, element := range s[:cap(s)] {
			if element != (plain{}) {
				t.Fatalf("%+v: element %d is %+v", test, i, element)
			}
		}
		for len(s) < cap(s) {
			s = append(s, plain{Number: -1})
		}
		if unsafe.SliceData(s) != first {
			t.Errorf("%+v: append has moved the slice", test)
		}
		checkQuiet(t, a, GoodSize(test.limit*size))
		FreeSlice(a, s[:0:0])
		checkQuiet(t, a, 0)
	}
}

// TestKnownTypesAreTold: types whose descriptors share a place in the table of known ones
// are told apart, and those with pointers are never in it.
func TestKnownTypesAreTold(t *testing.T) {
	for range 2 {
		for _, test := range []struct {
			pointer any
			refused bool
		}{{(*plain)(nil), false}, {(*list)(nil), true}, {(*int)(nil), false}, {(**int)(nil), true}} {
			if err := checkPointers(test.pointer); errors.Is(err, ErrPointers) != test.refused || isKnown(test.pointer) == test.refused {
				t.Errorf("%T: known %t, %v", test.pointer, isKnown(test.pointer), err)
			}
		}
	}
	mine := descriptorOf((*plain)(nil))
	known[knownIndex(mine)].Store(mine + 1<<20) // of another type, at the same index
	if knownIndex(mine) != knownIndex(mine+1<<20) || isKnown((*plain)(nil)) {
		t.Error("known by the index alone")
	}
	known[knownIndex(mine)].Store(mine)
}

// TestMakeSlicePanics as make does.
func TestMakeSlicePanics(t *testing.T) {
	a := open(t, Options{})
	for _, test := range []struct{ length, limit int }{{-1, 0}, {-1, -1}, {0, -1}, {2, 1}} {
		want := panicOf(func() { _ = make([]int, test.length, test.limit) }).(error).Error()
		if err, _ := panicOf(func() { MakeSlice[int](a, test.length, test.limit) }).(error); err == nil || err.Error() != want {
			t.Errorf("%+v: panic with %v, want %q", test, err, want)
		}
	}
}
