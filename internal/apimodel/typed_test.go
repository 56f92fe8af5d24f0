package apimodel

import (
	"errors"
	"math"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/arena"
)

var typedActions = []action{
	{"new", 0, (*world).newRoot}, // the first one of each list
	{"object", 2, (*world).object},
	{"slice", 4, (*world).slice},
	{"pointers", 1, (*world).pointers},
}

// object is NewOf, and FreeOf at once, later, or through Free.
func (w *world) object(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	switch o.m % 4 {
	case 0:
		newOf[uint64](w, m, o)
	case 1:
		newOf[odd](w, m, o)
	case 2:
		newOf[[300_000]byte](w, m, o)
	case 3:
		newOf[struct{}](w, m, o)
	}
}

func newOf[T any](w *world, m *allocator, o op) {
	var t T
	size := int(unsafe.Sizeof(t))
	if !w.room(m, size) {
		return
	}
	p, err := alloc.NewOf[T](m.a)
	if err != nil {
		check(p == nil, "NewOf: an object and the error %v", err)
		w.refused(m, size, 1, err, "NewOf")
		return
	}
	check(p != nil, "NewOf: nil")
	if size == 0 {
		alloc.FreeOf(m.a, p)
		alloc.FreeOf[T](m.a, nil)
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(p)), alloc.GoodSize(size))[:size]
	w.checkNew(m, b, size, true, "NewOf")
	if o.b%2 == 0 {
		w.keep(m, b, "NewOf")
		return
	}
	w.remove(w.add(m, b, "NewOf"))
	alloc.FreeOf(m.a, p)
	alloc.FreeOf[T](m.a, nil)
}

// slice is MakeSlice, and FreeSlice of a part at once, or Free later.
func (w *world) slice(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	switch o.m % 4 {
	case 0:
		makeSlice[byte](w, m, o)
	case 1:
		makeSlice[odd](w, m, o)
	case 2:
		makeSlice[[3]uint64](w, m, o)
	case 3:
		makeSlice[struct{}](w, m, o)
	}
}

func makeSlice[T any](w *world, m *allocator, o op) {
	var t T
	size := int(unsafe.Sizeof(t))
	n := o.n
	if n < 0 {
		mustPanicAsMake("MakeSlice", n, func() { alloc.MakeSlice[byte](m.a, n, 10) })
		return
	}
	if size > 0 && n < 1<<32 {
		n /= size
	}
	length := n / (1 + o.b%3)
	huge := size > 0 && n > math.MaxInt/size
	if n < arena.MaxReserve && !w.room(m, n*size) {
		return
	}
	s, err := alloc.MakeSlice[T](m.a, length, n)
	switch {
	case huge:
		check(s == nil && errors.Is(err, alloc.ErrTooLarge), "MakeSlice of %d elements: %v", n, err)
		return
	case err != nil:
		check(s == nil, "MakeSlice of %d elements: memory and the error %v", n, err)
		w.refused(m, n*size, 1, err, "MakeSlice")
		return
	}
	check(s != nil && len(s) == length && cap(s) >= n, "MakeSlice(%d, %d): length %d, capacity %d", length, n, len(s), cap(s))
	if size == 0 || n == 0 {
		alloc.FreeSlice(m.a, s)
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), m.a.UsableSize(bytesOf(s)))
	check(cap(s) == len(b)/size, "MakeSlice(%d, %d): capacity %d in a block of %d bytes", length, n, cap(s), len(b))
	w.checkNew(m, b, len(b), true, "MakeSlice")
	if o.b%2 == 0 {
		w.keep(m, b, "MakeSlice")
		return
	}
	w.remove(w.add(m, b, "MakeSlice"))
	alloc.FreeSlice(m.a, s[:cap(s)/2:cap(s)/2+o.m/128])
	alloc.FreeSlice[T](m.a, nil)
}

// pointers has the typed calls refuse types with pointers.
func (w *world) pointers(o op) {
	m := w.open(o)
	if m == nil {
		return
	}
	_, err := alloc.NewOf[struct{ P [2]*int }](m.a)
	check(errors.Is(err, alloc.ErrPointers), "NewOf of a pointer: %v", err)
	_, err = alloc.MakeSlice[string](m.a, 1, 1)
	check(errors.Is(err, alloc.ErrPointers), "MakeSlice of a string: %v", err)
	_, err = alloc.NewCache(m.a, alloc.CacheOptions[map[int]int]{})
	check(errors.Is(err, alloc.ErrPointers), "NewCache of a map: %v", err)
}
