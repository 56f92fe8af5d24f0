package alloc

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"
)

// NewOf returns a zero T outside the Go heap. T must not contain Go pointers:
// else the error wraps ErrPointers and names the field. The other errors are
// those of Alloc. Free it with FreeOf.
//
//go:nosplit
func NewOf[T any](a *Allocator) (*T, error) {
	if !isKnown((*T)(nil)) {
		if err := checkPointers((*T)(nil)); err != nil {
			return nil, err
		}
	}
	b, err := a.Alloc(int(unsafe.Sizeof(*new(T))))
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), err
}

// FreeOf frees what NewOf returned; nil is ignored. Misuse panics as in Free.
func FreeOf[T any](a *Allocator, p *T) {
	// blockOf and Free themselves would be too long for this to be inlined.
	if unsafe.Sizeof(*p) > 0 {
		a.heap.Blocks.Free(&a.heap.Blocks, *(*[]byte)(unsafe.Pointer(&object{unsafe.Pointer(p), unsafe.Sizeof(*p), unsafe.Sizeof(*p)})))
	}
}

// object is a slice of bytes as the compiler lays it out.
type object struct {
	data        unsafe.Pointer
	length, cap uintptr
}

// MakeSlice returns a slice of len zero elements outside the Go heap, as make
// does. The capacity is what fits the block, at least the one that was asked
// for: append never moves within it. T must not contain Go pointers. Free it
// with FreeSlice.
func MakeSlice[T any](a *Allocator, len, cap int) ([]T, error) {
	if !isKnown((*T)(nil)) {
		if err := checkPointers((*T)(nil)); err != nil {
			return nil, err
		}
	}
	size := int(unsafe.Sizeof(*new(T)))
	if len < 0 || cap < len {
		return make([]T, len, cap), nil // panics
	}
	if a.closed {
		return nil, a.errClosed()
	}
	if size == 0 || cap == 0 {
		return unsafe.Slice((*T)(unsafe.Pointer(&emptyBlock)), cap)[:len], nil
	}
	if cap > maxInt/size {
		return nil, a.failed(fmt.Sprintf("%d elements of %d bytes", cap, size), ErrTooLarge)
	}
	b, err := a.Alloc(cap * size)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), usable(b)/size)[:len], nil
}

const maxInt = int(^uint(0) >> 1)

// usable returns the capacity of a slice, where its name is taken.
func usable(b []byte) int { return cap(b) }

// FreeSlice frees what MakeSlice returned, or any slice that starts where it
// starts. It ignores what Free ignores, and slices of elements without a size. Misuse
// panics as in Free.
func FreeSlice[T any](a *Allocator, s []T) {
	size := int(unsafe.Sizeof(*new(T)))
	if size == 0 {
		return
	}
	a.Free(blockOf(unsafe.Pointer(unsafe.SliceData(s)), len(s)*size, cap(s)*size))
}

// checked remembers the answer for every type that was asked for.
var checked sync.Map // of reflect.Type to error, nil for none

// checkPointers returns an error if the type that pointer points to contains a Go
// pointer. The value of pointer does not matter, here and in what follows.
func checkPointers(pointer any) error {
	t := reflect.TypeOf(pointer).Elem()
	if answer, ok := checked.Load(t); ok {
		err, _ := answer.(error)
		return err
	}
	var err error
	if path, kind := findPointer(t, t.String()); path != "" {
		err = fmt.Errorf("alloc: %s is a %s: %w, which the collector would not see in this memory", path, kind, ErrPointers)
	}
	checked.Store(t, err)
	if err == nil {
		descriptor := descriptorOf(pointer)
		known[knownIndex(descriptor)].Store(descriptor)
	}
	return err
}

// known holds the descriptors of types *T, for a T without pointers, each at the index
// that its address gives: the answer that the typed calls get nearly always. It is asked
// for *T since a generic function has that descriptor at hand, for one load; a
// reflect.Type of T takes it four.
var known [256]atomic.Uintptr

func isKnown(pointer any) bool {
	descriptor := descriptorOf(pointer)
	return known[knownIndex(descriptor)].Load() == descriptor
}

// Descriptors of types are 32 bytes apart at least.
func knownIndex(descriptor uintptr) uint8 { return uint8(descriptor >> 5) }

// descriptorOf returns the address that stands for the type of pointer: comparing two
// of these takes no call. Types that a program names are never freed.
func descriptorOf(pointer any) uintptr {
	// Were the field a uintptr, the compiler would store and load it once more.
	return uintptr((*struct{ descriptor, data unsafe.Pointer })(unsafe.Pointer(&pointer)).descriptor)
}

// findPointer returns the path to the first Go pointer in a type and its kind,
// or "".
func findPointer(t reflect.Type, path string) (string, reflect.Kind) {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if found, kind := findPointer(f.Type, path+"."+f.Name); found != "" {
				return found, kind
			}
		}
		return "", 0
	case reflect.Array:
		if t.Len() == 0 {
			return "", 0
		}
		return findPointer(t.Elem(), path+"[0]")
	case reflect.Pointer, reflect.UnsafePointer, reflect.String, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func, reflect.Interface:
		return path, t.Kind()
	}
	return "", 0
}
